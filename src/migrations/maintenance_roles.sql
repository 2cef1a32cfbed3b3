-- The oids of the roles, other than the owner, that may run maintenance: each has been granted by name to call a batch, to
-- record it, and to delete sessions. A role that default privileges gave the functions alone is none. No parameters.
with
rights (object, owner, acl) as (
  select p.proname, p.proowner, p.proacl
  from pg_catalog.pg_proc as p
  join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  where n.nspname = 'sessctl'
  union all
  select c.relname, c.relowner, c.relacl
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = 'sessctl' and c.relname = 'run' or n.nspname = 'public' and c.relname = 'user_sessions'
),
granted as (
  select r.object, x.grantee, x.privilege_type as privilege
  from rights as r
  cross join lateral pg_catalog.aclexplode(r.acl) as x
  where x.grantee <> r.owner
)
select coalesce(json_agg(r.oid::bigint order by r.oid), '[]')::text
from pg_catalog.pg_roles as r
where r.rolname not in ('anon', 'authenticated', 'authenticator')
  and exists (select from rights where object = 'grant_maintenance')
  and (r.oid, 'EXECUTE') in (select grantee, privilege from granted where object = 'cleanup_batch')
  and (r.oid, 'INSERT') in (select grantee, privilege from granted where object = 'run')
  and (r.oid, 'DELETE') in (select grantee, privilege from granted where object = 'user_sessions')
