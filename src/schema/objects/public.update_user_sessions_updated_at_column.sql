-- Sets updated_at with every update of a session.
create or replace function public.update_user_sessions_updated_at_column()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.updated_at := now();
  return new;
end
$$;
