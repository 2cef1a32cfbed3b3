-- Whether this role can see pg_cron's jobs here, and read whether an archive is required.
select coalesce(
  has_schema_privilege(n.oid, 'USAGE') and has_table_privilege(c.oid, 'SELECT')
    and (select count(*) from pg_attribute as a
      where a.attrelid = c.oid and a.attname in ('active', 'database', 'jobname') and not a.attisdropped) = 3,
  false
)::text
from (select) as one_row
left join pg_namespace as n on n.nspname = 'cron'
left join pg_class as c on c.relnamespace = n.oid and c.relname = 'job'
