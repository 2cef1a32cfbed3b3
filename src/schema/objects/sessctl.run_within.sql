-- A run in the caller's transaction. Gives back how many sessions it did. It begins no batch that may not end within half of the
-- statement_timeout (or transaction_timeout); the next call goes on.
create or replace function sessctl.run_within(job_name text, threshold integer, option boolean, max_rows integer)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  step record;
begin
  select s.run, s."rows", s.run is not null as more, null::text as failure into step
  from sessctl.run_start(job_name, threshold, option, max_rows, false, null) as s;
  while step.more loop
    select n.run, n."rows", n.more, n.failure into step from sessctl.run_next(step.run, step."rows") as n;
  end loop;
  if step.failure is not null then
    raise warning '%', step.failure;
  end if;
  return coalesce((step.run ->> 'done')::integer, 0);
end
$$;
