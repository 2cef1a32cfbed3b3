create or replace function sessctl.cleanup(days integer, max_rows integer default null)
returns integer
language plpgsql
set search_path = ''
as $$
begin
  return sessctl.run_within('cleanup', days, false, max_rows);
end
$$;
