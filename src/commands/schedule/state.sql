-- Whether pg_cron is here, and where. No parameters.
select json_build_object(
  'installed', exists (select from pg_catalog.pg_extension where extname = 'pg_cron'),
  'available', exists (select from pg_catalog.pg_available_extensions where name = 'pg_cron'),
  'usable', coalesce((select has_schema_privilege(n.oid, 'USAGE') from pg_catalog.pg_namespace as n where n.nspname = 'cron'), false),
  'database', current_database(),
  'migrated', exists (
    select from pg_catalog.pg_proc as p
    join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
    where n.nspname = 'sessctl' and p.proname in ('run_end_inactive', 'run_cleanup', 'run_anonymize', 'trim_cron_history')
    having count(*) = 4
  )
)::text
