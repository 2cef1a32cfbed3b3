-- The original script's cleanup, under its name.
create or replace function public.cleanup_old_sessions(days_old integer default 90)
returns integer
language plpgsql
set search_path = ''
as $$
begin
  return sessctl.cleanup(days_old);
end
$$;
