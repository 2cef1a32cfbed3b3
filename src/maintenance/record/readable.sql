-- Whether this role can read the record of runs, which a database that is not migrated does not have.
select coalesce(
  has_schema_privilege(n.oid, 'USAGE') and has_table_privilege(j.oid, 'SELECT') and has_table_privilege(r.oid, 'SELECT'),
  false
)::text
from (select) as one_row
left join pg_catalog.pg_namespace as n on n.nspname = 'sessctl'
left join pg_catalog.pg_class as j on j.relnamespace = n.oid and j.relname = 'job'
left join pg_catalog.pg_class as r on r.relnamespace = n.oid and r.relname = 'run'
