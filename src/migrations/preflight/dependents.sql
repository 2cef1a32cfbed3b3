-- What depends on objects so that they can't be dropped, or the extension that has one. $1: the objects, as the facts name
-- them.
with
dropped (object, class, oid) as (
  select format('function %s.%s(%s)', n.nspname, p.proname, pg_catalog.oidvectortypes(p.proargtypes)),
    'pg_catalog.pg_proc'::regclass, p.oid
  from pg_catalog.pg_proc as p
  join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  union all
  -- A view, its row type and the array of it.
  select format('view %s.%s', n.nspname, c.relname), o.class, o.oid
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  join pg_catalog.pg_type as t on t.oid = c.reltype
  cross join lateral (
    values ('pg_catalog.pg_class'::regclass, c.oid), ('pg_catalog.pg_type'::regclass, t.oid), ('pg_catalog.pg_type'::regclass, t.typarray)
  ) as o (class, oid)
  where c.relkind = 'v'
),
dependents (object, dependent) as (
  select o.object,
    case when w.oid is null then pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
      else pg_catalog.pg_describe_object('pg_catalog.pg_class'::regclass, w.ev_class, 0) end
  from dropped as o
  join pg_catalog.pg_depend as d on d.refclassid = o.class and d.refobjid = o.oid
  left join pg_catalog.pg_rewrite as w on d.classid = 'pg_catalog.pg_rewrite'::regclass and w.oid = d.objid
  left join pg_catalog.pg_trigger as t on d.classid = 'pg_catalog.pg_trigger'::regclass and t.oid = d.objid
  where o.object = any ($1) and d.deptype = 'n' and w.ev_class is distinct from o.oid
    -- The migration that replaces its function drops it first.
    and (t.tgname = 'update_user_sessions_updated_at' and t.tgrelid = pg_catalog.to_regclass('public.user_sessions')) is not true
  union
  select o.object, format('extension %s', e.extname)
  from dropped as o
  join pg_catalog.pg_depend as d on d.classid = o.class and d.objid = o.oid and d.deptype = 'e'
  join pg_catalog.pg_extension as e on e.oid = d.refobjid
  where o.object = any ($1)
)
select coalesce(json_agg(json_build_object('object', b.object, 'dependents', b.dependents) order by b.object), '[]')::text
from (
  select object, array_agg(dependent order by dependent) as dependents from dependents group by object
) as b
