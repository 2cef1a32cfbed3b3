-- What the role may do. No parameters. owner, owns_table and is_filtered are null where the table is absent, or not readable.
with
sessions as (
  select c.oid, c.relowner
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = 'public' and c.relname = 'user_sessions' and c.relkind = 'r'
)
select json_build_object(
  'name', current_user,
  'is_superuser', r.rolsuper,
  'bypasses_rls', r.rolbypassrls or r.rolsuper,
  'owner', (select pg_get_userbyid(s.relowner) from sessions as s),
  'owns_table', (select pg_has_role(s.relowner, 'USAGE') from sessions as s),
  'may_create', has_database_privilege(current_database(), 'CREATE') and has_schema_privilege('public', 'CREATE'),
  'is_filtered', (select row_security_active(s.oid) from sessions as s where has_table_privilege(s.oid, 'SELECT'))
)::text
from pg_catalog.pg_roles as r
where r.rolname = current_user
