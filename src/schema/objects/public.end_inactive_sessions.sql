-- The original script's sweep, under its name.
create or replace function public.end_inactive_sessions(timeout_minutes integer default 60)
returns integer
language plpgsql
set search_path = ''
as $$
begin
  return sessctl.end_inactive(timeout_minutes);
end
$$;
