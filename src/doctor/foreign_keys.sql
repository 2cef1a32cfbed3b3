-- Foreign keys to the table, with what becomes of their rows when a session is deleted, and whether an index begins with their
-- columns. No parameters. A partition has its parent's.
select coalesce(json_agg(json_build_object(
  'name', quote_ident(k.conname),
  'table', k.conrelid::regclass,
  'keeps_sessions', k.confdeltype in ('a', 'r'),
  'columns', (
    select string_agg(quote_ident(a.attname), ', ' order by key.position)
    from unnest(k.conkey) with ordinality as key (number, position)
    join pg_catalog.pg_attribute as a on a.attrelid = k.conrelid and a.attnum = key.number
  ),
  'referenced', (
    select string_agg(quote_ident(a.attname), ', ' order by key.position)
    from unnest(k.confkey) with ordinality as key (number, position)
    join pg_catalog.pg_attribute as a on a.attrelid = k.confrelid and a.attnum = key.number
  ),
  'has_index', exists (
    select
    from pg_catalog.pg_index as i
    join pg_catalog.pg_class as ic on ic.oid = i.indexrelid
    join pg_catalog.pg_am as am on am.oid = ic.relam
    where i.indrelid = k.conrelid and i.indisvalid and am.amname in ('btree', 'hash')
      -- The server looks for a key, which is not null.
      and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) = format('(%s IS NOT NULL)', (
        select quote_ident(a.attname)
        from pg_catalog.pg_attribute as a
        where a.attrelid = k.conrelid and a.attnum = k.conkey[1]
      )))
      and (
        select array_agg(column_number order by column_number)
        from unnest((i.indkey::smallint[])[0:cardinality(k.conkey) - 1]) as column_number
      ) = (select array_agg(column_number order by column_number) from unnest(k.conkey) as column_number)
  )
) order by k.conrelid::regclass::text, k.conname), '[]')::text
from pg_catalog.pg_constraint as k
join pg_catalog.pg_class as c on c.oid = k.confrelid
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where k.contype = 'f' and k.conparentid = 0 and n.nspname = 'public' and c.relname = 'user_sessions'
