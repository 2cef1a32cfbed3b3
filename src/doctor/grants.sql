-- Whether default privileges open new objects in public to the API's roles. No parameters.
select to_json(exists (
  select
  from pg_catalog.pg_default_acl as d
  cross join lateral pg_catalog.aclexplode(d.defaclacl) as x
  join pg_catalog.pg_namespace as n on n.oid = d.defaclnamespace
  where n.nspname = 'public' and d.defaclobjtype = 'r' and x.privilege_type = 'SELECT'
    and pg_catalog.pg_get_userbyid(d.defaclrole) = 'postgres'
    and x.grantee in (select a.oid from pg_catalog.pg_roles as a where a.rolname in ('anon', 'authenticated'))
))::text
