-- Row level security hides rows in silence: a role under it would never find anything to do. And where a role has
-- session_replication_role = replica, no foreign key would take child rows along: this transaction does without.
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
  if current_setting('session_replication_role') = 'replica' then
    begin
      perform set_config('session_replication_role', 'origin', true);
    exception
      when insufficient_privilege then
        raise exception 'role "%" works with session_replication_role = replica, where foreign keys and triggers do nothing', current_user
          using errcode = 'object_not_in_prerequisite_state',
            hint = format('Have a superuser run: alter role %I reset session_replication_role.', session_user);
    end;
  end if;
end
$$;
