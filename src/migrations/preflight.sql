-- What a migration needs of the role and the database, before it changes anything. No parameters.
select json_build_object(
  'role', current_user,
  'missing_roles', (
    select coalesce(json_agg(r), '[]')
    from unnest(array['anon', 'authenticated', 'service_role']) as r
    where not exists (select from pg_catalog.pg_roles where rolname = r)
  ),
  'auth_users', users.oid is not null,
  'may_reference_users', coalesce(has_table_privilege(users.oid, 'REFERENCES'), false),
  'auth_uid', exists (
    select from pg_catalog.pg_proc as p
    join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
    where n.nspname = 'auth' and p.proname = 'uid' and p.pronargs = 0
  ),
  'may_create_in_database', has_database_privilege(current_database(), 'CREATE'),
  'may_create_in_public', has_schema_privilege('public', 'CREATE'),
  'database', current_database(),
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
  -- Names of ours that something else than an index of the table has.
  'taken_names', (
    select coalesce(json_agg(c.relname order by c.relname), '[]')
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    left join pg_catalog.pg_index as i on i.indexrelid = c.oid
    left join pg_catalog.pg_class as t on t.oid = i.indrelid
    where n.nspname = 'public' and c.relname in (
      'idx_user_sessions_user_id', 'idx_user_sessions_platform', 'idx_user_sessions_status',
      'idx_user_sessions_started_at', 'idx_user_sessions_last_activity', 'idx_user_sessions_active',
      'idx_user_sessions_ended_at'
    ) and t.relname is distinct from 'user_sessions'
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
from (
  select (
    select c.oid from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'auth' and c.relname = 'users'
  ) as oid
) as users
