-- Row level security hides rows in silence: a role under it would never find anything to do.
create or replace function sessctl.require_all_rows()
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if row_security_active('public.user_sessions') then
    raise exception 'role "%" can''t see all sessions: row level security applies to it', current_user
      using errcode = 'insufficient_privilege',
        hint = 'Use the owner of public.user_sessions, service_role, or a role with BYPASSRLS.';
  end if;
end
$$;
