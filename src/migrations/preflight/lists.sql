-- What stands in place of a CHECK on platform and end_reason, a column each. No parameters.
select coalesce(json_agg(json_build_object(
  'column', a.attname,
  'enum', case when t.typtype = 'e' then pg_catalog.format_type(a.atttypid, a.atttypmod) end,
  'lookup', (
    select json_build_object('constraint', quote_ident(c.conname), 'table', c.confrelid::regclass)
    from pg_catalog.pg_constraint as c
    where c.conrelid = a.attrelid and c.contype = 'f' and c.conkey = array[a.attnum]
      and not exists (
        select from pg_catalog.pg_constraint as k where k.conrelid = a.attrelid and k.contype = 'c' and k.conkey = array[a.attnum])
    order by c.conname
    limit 1
  )
)), '[]')::text
from pg_catalog.pg_attribute as a
join pg_catalog.pg_type as t on t.oid = a.atttypid
where a.attrelid = pg_catalog.to_regclass('public.user_sessions') and a.attname in ('platform', 'end_reason', 'status')
