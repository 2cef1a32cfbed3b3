-- The oids of the roles, other than the owner, that may run maintenance: each has been granted by name to call a batch, to
-- record it, and to delete sessions; where one of these objects is missing, the other two rights tell. A role that default
-- privileges gave the functions alone is none. No parameters.
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
  and not exists (
    select
    from (values ('cleanup_batch', 'EXECUTE'), ('run', 'INSERT'), ('user_sessions', 'DELETE')) as w (object, privilege)
    where exists (select from rights where rights.object = w.object)
      and (w.object, w.privilege, r.oid) not in (select g.object, g.privilege, g.grantee from granted as g)
  )
  and (
    select count(distinct g.object) from granted as g
    where g.grantee = r.oid and (g.object, g.privilege) in (('cleanup_batch', 'EXECUTE'), ('run', 'INSERT'), ('user_sessions', 'DELETE'))
  ) >= 2
