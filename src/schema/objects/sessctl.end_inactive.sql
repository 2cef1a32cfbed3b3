create or replace function sessctl.end_inactive(minutes integer, max_rows integer default null, include_idle boolean default false)
returns integer
language plpgsql
set search_path = ''
as $$
begin
  return sessctl.run_within('end-inactive', minutes, include_idle, max_rows);
end
$$;
