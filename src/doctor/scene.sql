-- The server's time, which of the objects that the checks query exist, and whether this role may query them. No parameters.
-- The catalogs are asked for them by name: to_regclass fails where the role may not use the schema.
with
relations as (
  select c.oid, n.oid as schema, n.nspname || '.' || c.relname as name, c.relkind as kind
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname in ('public', 'sessctl', 'cron')
)
select json_build_object(
  'now', now(),
  'table', (
    select json_build_object(
      'is_readable', has_table_privilege(t.oid, 'SELECT'),
      'has_columns', (
        select count(*) = 7
        from pg_catalog.pg_attribute as a
        where a.attrelid = t.oid and not a.attisdropped and a.attname in (
          'status', 'started_at', 'ended_at', 'last_heartbeat_at', 'last_activity_at', 'updated_at',
          'created_at')
      )
    )
    from relations as t
    where t.name = 'public.user_sessions' and t.kind = 'r'
  ),
  'kind', (select t.kind from relations as t where t.name = 'public.user_sessions'),
  'elsewhere', (
    select coalesce(json_agg(quote_ident(n.nspname) order by n.nspname), '[]')
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where c.relname = 'user_sessions' and c.relkind in ('r', 'p') and n.nspname <> 'public' and n.nspname not like 'pg\_%'
  ),
  'has_history', exists (select from relations as t where t.name = 'sessctl.schema_history'),
  'has_views', (
    select count(*) = 3
    from relations as v
    where v.kind = 'v' and v.name in ('sessctl.session_last_seen', 'sessctl.ended_last_seen', 'sessctl.ended_session')
  ),
  'pg_cron', (
    select json_build_object(
      'version', e.extversion,
      'has_readable_jobs', exists (
        select
        from relations as t
        where t.name = 'cron.job' and t.kind = 'r'
          and has_schema_privilege(t.schema, 'USAGE') and has_table_privilege(t.oid, 'SELECT')
      )
    )
    from pg_catalog.pg_extension as e
    where e.extname = 'pg_cron'
  )
)::text
