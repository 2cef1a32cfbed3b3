-- Rights on the table, the view, the functions and schema sessctl that a role other than the owner has granted, by its grant
-- option, where that role or the one it granted to is one of the API's. No parameters.
with
api (role) as (
  select r.oid from pg_catalog.pg_roles as r where r.rolname in ('anon', 'authenticated', 'service_role', 'authenticator')
  union all
  select 0
),
-- The object as the facts have it and as a statement has it, the column, the owner, the rights.
objects (fact, object, col, owner, acl) as (
  select format('%s %s.%s', k.word, n.nspname, c.relname), format('table %I.%I', n.nspname, c.relname), null, c.relowner, c.relacl
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  join (values ('r'::"char", 'table'), ('v', 'view')) as k (kind, word) on k.kind = c.relkind
  where n.nspname = 'sessctl' or n.nspname = 'public' and c.relname in ('user_sessions', 'active_sessions_summary')
  union all
  select format('column %s.%s.%s', n.nspname, c.relname, a.attname), format('table %I.%I', n.nspname, c.relname), a.attname, c.relowner, a.attacl
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  join pg_catalog.pg_attribute as a on a.attrelid = c.oid and not a.attisdropped
  where n.nspname = 'sessctl' or n.nspname = 'public' and c.relname in ('user_sessions', 'active_sessions_summary')
  union all
  select format('function %s.%s(%s)', n.nspname, p.proname, t.arguments), format('function %I.%I(%s)', n.nspname, p.proname, t.arguments),
    null, p.proowner, p.proacl
  from pg_catalog.pg_proc as p
  join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  cross join lateral pg_catalog.oidvectortypes(p.proargtypes) as t (arguments)
  where n.nspname in ('public', 'sessctl')
  union all
  select 'schema sessctl', 'schema sessctl', null, n.nspowner, n.nspacl
  from pg_catalog.pg_namespace as n
  where n.nspname = 'sessctl'
)
select coalesce(json_agg(json_build_object(
  'on', o.fact,
  'object', o.object,
  'right', lower(x.privilege_type) || case when o.col is null then '' else format(' (%I)', o.col) end,
  'grantor', quote_ident(pg_catalog.pg_get_userbyid(x.grantor)),
  'grantee', case x.grantee when 0 then 'public' else quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end,
  'to_api', x.grantee in (select role from api)
) order by o.object, o.col, x.privilege_type), '[]')::text
from objects as o
cross join lateral pg_catalog.aclexplode(o.acl) as x
where x.grantor <> o.owner and (x.grantor in (select role from api) or x.grantee in (select role from api))
  -- One who has the option on the whole table may grant a column's right; no revoke of the table's meets that.
  and exists (
    select from pg_catalog.aclexplode(o.acl) as option
    where option.grantee = x.grantor and option.privilege_type = x.privilege_type and option.is_grantable
  )
