-- Whether default privileges open new objects in public to the API's roles, and the rights of anon and authenticated on the
-- table, those on some of its columns included; null without the table. No parameters.
with
api_roles as (
  select r.oid, r.rolname as name from pg_catalog.pg_roles as r where r.rolname in ('anon', 'authenticated')
),
privileges (position, name, is_of_columns) as (
  values
    (1, 'SELECT', true), (2, 'INSERT', true), (3, 'UPDATE', true), (4, 'DELETE', false), (5, 'TRUNCATE', false),
    (6, 'REFERENCES', true), (7, 'TRIGGER', false)
)
select json_build_object(
  'is_open', exists (
    select
    from pg_catalog.pg_default_acl as d
    cross join lateral pg_catalog.aclexplode(d.defaclacl) as x
    join pg_catalog.pg_namespace as n on n.oid = d.defaclnamespace
    join api_roles as r on r.oid = x.grantee
    where n.nspname = 'public' and d.defaclobjtype = 'r' and x.privilege_type = 'SELECT'
      and pg_catalog.pg_get_userbyid(d.defaclrole) = 'postgres'
  ),
  'rights', (
    select (
      select coalesce(json_agg(json_build_object('role', r.name, 'privilege', p.name) order by r.name, p.position), '[]')
      from api_roles as r
      cross join privileges as p
      where has_table_privilege(r.oid, c.oid, p.name)
        or case when p.is_of_columns then has_any_column_privilege(r.oid, c.oid, p.name) end
    )
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'public' and c.relname = 'user_sessions' and c.relkind = 'r'
  )
)::text
