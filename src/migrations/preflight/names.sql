-- Relations, types and functions that are in the way of ours, a line each, but for tables, views and sequences under the names
-- of our tables and views: those are facts. $1: the names of tables and views with their schemas, and of indexes of
-- public.user_sessions without; $2: their kinds.
with
ours (name, kind) as (
  select case u.kind when 'index' then 'public.' || u.name else u.name end, u.kind from unnest($1, $2) as u (name, kind)
),
others (name, other) as (
  -- A relation under an index's name, but for an index of the table; an index under a relation's name.
  select format('%s.%s', n.nspname, c.relname),
    case when c.relkind in ('i', 'I') then format('index %s.%s of %s', n.nspname, c.relname, i.indrelid::regclass)
      else format('%s %s.%s', case c.relkind when 'r' then 'table' when 'v' then 'view' when 'S' then 'sequence' else 'relation' end, n.nspname, c.relname) end
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  join ours as o on o.name = format('%s.%s', n.nspname, c.relname)
  left join pg_catalog.pg_index as i on i.indexrelid = c.oid
  where case o.kind
    when 'index' then c.relkind <> 'c' and (i.indrelid = pg_catalog.to_regclass('public.user_sessions')) is not true
    else c.relkind in ('i', 'I')
  end
  union all
  -- A type of its own; each table and view has one of its name.
  select format('%s.%s', n.nspname, t.typname), format('type %s.%s', n.nspname, t.typname)
  from pg_catalog.pg_type as t
  join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
  left join pg_catalog.pg_class as c on c.oid = t.typrelid
  where c.oid is null or c.relkind = 'c'
)
select coalesce(json_agg(clash order by clash), '[]')::text
from (
  select format('%s is there, where sessctl keeps its %s', others.other, ours.kind) as clash
  from ours
  join others using (name)
  where ours.kind <> 'index' or others.other not like 'type %'
  union all
  -- A function that a call with two arguments may mean as well: our view could not be made.
  select format('function public.%s(%s) makes calls of sessctl''s function ambiguous', p.proname, pg_catalog.oidvectortypes(p.proargtypes))
  from pg_catalog.pg_proc as p
  join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  where n.nspname = 'public' and p.proname = 'calculate_session_duration' and p.pronargs > 2 and p.pronargs - p.pronargdefaults <= 2
    and p.proargtypes[0] = 'timestamptz'::regtype and p.proargtypes[1] = 'timestamptz'::regtype
) as clashes
