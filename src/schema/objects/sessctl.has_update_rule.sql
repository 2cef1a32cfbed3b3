-- Whether a rule on the table makes something else of an update: one with a list of what it has done is refused then.
create or replace function sessctl.has_update_rule()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (
    select
    from pg_catalog.pg_rewrite as w
    where w.ev_class = 'public.user_sessions'::regclass and w.ev_enabled in ('O', 'A') and w.ev_type = '2'
  );
end
$$;
