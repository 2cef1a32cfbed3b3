-- Whether the database is a Supabase project's, and what this role may create in it. No parameters.
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
    where n.nspname = 'auth' and p.proname = 'uid' and p.pronargs = 0 and p.prorettype = 'uuid'::regtype
  ),
  'encoding', pg_catalog.getdatabaseencoding(),
  -- An owner may have revoked its own right. A schema of somebody else is refused as that.
  'may_create_in_sessctl', not exists (
    select from pg_catalog.pg_namespace as n
    where n.nspname = 'sessctl' and pg_has_role(n.nspowner, 'USAGE') and not has_schema_privilege(n.oid, 'CREATE')
  ),
  'may_create_in_database', has_database_privilege(current_database(), 'CREATE'),
  'may_create_in_public', has_schema_privilege('public', 'CREATE'),
  'database', current_database()
)::text
from (
  select (
    select c.oid from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'auth' and c.relname = 'users'
  ) as oid
) as users
