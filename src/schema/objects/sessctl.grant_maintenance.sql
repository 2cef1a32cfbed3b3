-- The rights that maintenance needs, for a role of yours too: select sessctl.grant_maintenance('ROLE').
-- migrate calls it again for each role that has them, after every migration.
create or replace function sessctl.grant_maintenance(grantee regrole)
returns void
language plpgsql
set search_path = ''
as $$
begin
  execute format('grant usage on schema sessctl to %s', grantee);
  execute format('grant execute on all routines in schema sessctl to %s', grantee);
  execute format('grant select, update on sessctl.session_last_seen to %s', grantee);
  execute format('grant select, update, delete on sessctl.ended_last_seen, sessctl.ended_session to %s', grantee);
  execute format('grant select, update on sessctl.ended_personal to %s', grantee);
  execute format('grant select, insert, update, delete on sessctl.run to %s', grantee);
  execute format('grant select, insert, update on sessctl.job to %s', grantee);
  execute format('grant select, update, delete on public.user_sessions to %s', grantee);
  execute format(
    'grant execute on function public.end_inactive_sessions(integer), public.cleanup_old_sessions(integer),
      public.calculate_session_duration(timestamptz, timestamptz) to %s', grantee);
end
$$;
