-- Objects that belong to others than the migrations' role. No parameters.
select json_build_object(
  'role', current_user,
  -- Triggers that would run, with the rights of who maintains the table, what somebody else may change.
  'strange_triggers', (
    select coalesce(json_agg(t.tgname order by t.tgname), '[]')
    from pg_catalog.pg_trigger as t
    join pg_catalog.pg_class as c on c.oid = t.tgrelid
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    join pg_catalog.pg_proc as p on p.oid = t.tgfoid
    join pg_catalog.pg_roles as r on r.oid = p.proowner
    where n.nspname = 'public' and c.relname = 'user_sessions' and not t.tgisinternal
      and (pg_catalog.pg_is_other_temp_schema(p.pronamespace) or p.proowner <> c.relowner and not r.rolsuper)
  ),
  -- Objects of ours that somebody else owns: only the owner may alter them.
  'foreign_objects', (
    select coalesce(json_agg(json_build_object(
      'object', o.object, 'owner', pg_catalog.pg_get_userbyid(o.owner)) order by o.object), '[]')
    from (
      select format('%s %I.%I', case c.relkind when 'v' then 'view' else 'table' end, n.nspname, c.relname) as object, c.relowner as owner
      from pg_catalog.pg_class as c
      join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p', 'v', 'm', 'f')
        and (n.nspname = 'public' and c.relname in ('user_sessions', 'active_sessions_summary')
          or n.nspname = 'sessctl')
      union all
      select format('function %I.%I(%s)', n.nspname, p.proname, pg_catalog.oidvectortypes(p.proargtypes)), p.proowner
      from pg_catalog.pg_proc as p
      join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
      where n.nspname = 'sessctl' or n.nspname = 'public' and (p.proname, pg_catalog.oidvectortypes(p.proargtypes)) in (
        ('update_user_sessions_updated_at_column', ''),
        ('calculate_session_duration', 'timestamp with time zone, timestamp with time zone'),
        ('cleanup_old_sessions', 'integer'),
        ('end_inactive_sessions', 'integer'))
      union all
      select 'schema sessctl', n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'sessctl'
    ) as o
    where not pg_has_role(o.owner, 'USAGE')
  )
)::text
