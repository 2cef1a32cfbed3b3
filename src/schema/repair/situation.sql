-- What a repair must know beside the facts. No parameters.
with
sessions as (
  select pg_catalog.to_regclass('public.user_sessions') as oid
),
private as (
  select coalesce(
    (select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'sessctl'),
    (select r.oid from pg_catalog.pg_roles as r where r.rolname = current_user)
  ) as owner
),
-- Views follow a table that is moved or renamed. One of the name in another schema may be it too.
elsewhere (oid, is_read) as (
  select d.refobjid, true
  from pg_catalog.pg_rewrite as w
  join pg_catalog.pg_class as v on v.oid = w.ev_class
  join pg_catalog.pg_namespace as n on n.oid = v.relnamespace
  join pg_catalog.pg_depend as d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
  join pg_catalog.pg_class as c on c.oid = d.refobjid
  where d.refclassid = 'pg_catalog.pg_class'::regclass and c.relkind in ('r', 'p')
    and n.nspname = 'sessctl' and v.relname = 'session_last_seen'
  union
  select c.oid, false
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where c.relname = 'user_sessions' and c.relkind in ('r', 'p') and n.nspname <> 'public' and n.nspname not like 'pg\_%'
)
select json_build_object(
  'owner', (select quote_ident(pg_catalog.pg_get_userbyid(p.owner)) from private as p),
  'is_owner', (select pg_catalog.pg_get_userbyid(p.owner) = current_user from private as p),
  'is_known_owner', (
    select r.rolname in ('postgres', current_user) or r.rolsuper
    from private as p
    join pg_catalog.pg_roles as r on r.oid = p.owner
  ),
  -- Row level security may hide rows from the owner: the size does not.
  'is_empty', coalesce((select pg_catalog.pg_relation_size(s.oid) = 0 from sessions as s), true),
  'api_roles', (
    select json_agg(r) from unnest(array['public', 'anon', 'authenticated', 'service_role', 'authenticator']) as r
    where r = 'public' or exists (select from pg_catalog.pg_roles where rolname = r)
  ),
  'elsewhere', (
    select coalesce(json_agg(json_build_object('table', t.name, 'back', t.back, 'is_read', t.is_read) order by t.is_read desc, t.name), '[]')
    from (
      select format('%I.%I', n.nspname, c.relname) as name, e.is_read,
        concat_ws('; ',
          case when n.nspname <> 'public' then format('alter table %I.%I set schema public', n.nspname, c.relname) end,
          case when c.relname <> 'user_sessions' then format('alter table public.%I rename to user_sessions', c.relname) end
        ) as back
      from elsewhere as e
      join pg_catalog.pg_class as c on c.oid = e.oid
      join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
      where e.oid is distinct from (select oid from sessions)
    ) as t
  )
)::text
