-- Whether this role can see and alter pg_cron jobs of its own in this database. No parameters.
select to_json(exists (
  select
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  join pg_catalog.pg_proc as p on p.pronamespace = n.oid
  join pg_catalog.pg_extension as e on e.extname = 'pg_cron'
  where n.nspname = 'cron' and c.relname = 'job' and p.proname = 'alter_job'
    and has_schema_privilege(n.oid, 'USAGE') and has_table_privilege(c.oid, 'SELECT')
    and has_function_privilege(p.oid, 'EXECUTE')
))::text
