-- Who is active now, by platform, and who may do what. Everything is granted and revoked by name, so that projects with
-- either set of default privileges end in the same state. Rights of roles that the platform does not know are kept.
-- sessctl: replaces view
-- sessctl: revokes rights on table public.user_sessions
-- sessctl: revokes rights on view public.active_sessions_summary
-- sessctl: revokes rights on function public.calculate_session_duration(timestamp with time zone, timestamp with time zone)
-- sessctl: revokes rights on function public.update_user_sessions_updated_at_column()

-- A view of other columns can't be replaced. It goes without CASCADE: what depends on it is named by the error, and stays.
-- The rights of roles that the platform does not know come back with the new one.
do $$
begin
  -- What a role, a database or a pooled connection may have set under this name is not ours to run.
  perform pg_catalog.set_config('sessctl.grants', '', true);
  if exists (
    select from pg_catalog.pg_class c
    where c.oid = pg_catalog.to_regclass('public.active_sessions_summary')
      and (
        select pg_catalog.string_agg(
          pg_catalog.format('%s %s%s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
            case when a.attcollation <> t.typcollation then ' collate ' || a.attcollation::pg_catalog.regcollation end),
          ', ' order by a.attnum)
        from pg_catalog.pg_attribute a
        join pg_catalog.pg_type t on t.oid = a.atttypid
        where a.attrelid = c.oid and a.attnum > 0
      ) <> 'platform text, active_count bigint, avg_session_minutes numeric, oldest_session timestamp with time zone, latest_activity timestamp with time zone'
  ) then
    perform pg_catalog.set_config('sessctl.grants', (
      select pg_catalog.string_agg(
        pg_catalog.format('grant %s on public.active_sessions_summary to %I%s;', x.privilege_type, r.rolname,
          case when x.is_grantable then ' with grant option' end),
        ' ')
      from pg_catalog.pg_class c
      cross join lateral pg_catalog.aclexplode(c.relacl) x
      join pg_catalog.pg_roles r on r.oid = x.grantee
      where c.oid = 'public.active_sessions_summary'::pg_catalog.regclass and x.grantee <> c.relowner
    ), true);
    drop view public.active_sessions_summary;
  end if;
end
$$;

-- security_invoker: each reader sees what row level security lets them see of the table.
-- A started_at that a client made up is taken into bounds first, so that no difference is out of range. A call of
-- calculate_session_duration for each row would take longer than all the rest.
create or replace view public.active_sessions_summary
with (security_invoker = true) as
select
  platform,
  count(*) as active_count,
  (avg(date_part('epoch', now() - least(greatest(started_at, '2000-01-01 00:00:00+00'), now()))) / 60)::numeric as avg_session_minutes,
  min(started_at) as oldest_session,
  max(last_activity_at) as latest_activity
from public.user_sessions
where status = 'active'
group by platform;

do $$
begin
  execute pg_catalog.current_setting('sessctl.grants');
end
$$;

revoke all on public.user_sessions, public.active_sessions_summary from public, anon, authenticated, service_role;
grant select, insert, update on public.user_sessions to authenticated;
grant select, insert, update, delete on public.user_sessions to service_role;
grant select on public.active_sessions_summary to authenticated, service_role;

revoke all on function public.calculate_session_duration(timestamptz, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function public.calculate_session_duration(timestamptz, timestamptz) to authenticated, service_role;
revoke all on function public.update_user_sessions_updated_at_column() from public, anon, authenticated, service_role;

do $$
begin
  if exists (select from pg_catalog.pg_roles where rolname = 'authenticator') then
    revoke all on public.user_sessions, public.active_sessions_summary from authenticator;
    revoke all on function
      public.calculate_session_duration(timestamptz, timestamptz),
      public.update_user_sessions_updated_at_column(),
      public.end_inactive_sessions(integer),
      public.cleanup_old_sessions(integer)
      from authenticator;
  end if;
end
$$;

notify pgrst, 'reload schema';
