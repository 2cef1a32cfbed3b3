-- What pg_cron calls, alone: in a transaction block they fail. They begin no batch after max_runtime, nor one that may not end
-- within the statement_timeout. An error at the end names the sessions that could not be done; all others are.
create or replace procedure sessctl.run_end_inactive(
  minutes integer,
  include_idle boolean default false,
  max_runtime interval default '4 minutes'
)
language plpgsql
as $$
begin
  call sessctl.run_to_end('end-inactive', minutes, include_idle, max_runtime);
end
$$;
