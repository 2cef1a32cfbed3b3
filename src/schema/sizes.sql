-- What the table and its indexes take on disk, in bytes. No parameters. Null where the table is missing. The table's own bytes hold
-- what is stored outside of its rows (TOAST), and the maps of free and visible pages.
select (
  select json_build_object(
    'table_bytes', pg_table_size(c.oid),
    'indexes', (
      select coalesce(json_agg(json_build_object('name', x.relname, 'bytes', x.bytes) order by x.bytes desc, x.relname), '[]')
      from (
        select r.relname, pg_table_size(r.oid) as bytes
        from pg_catalog.pg_index as i
        join pg_catalog.pg_class as r on r.oid = i.indexrelid
        where i.indrelid = c.oid
      ) as x
    )
  )
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace and n.nspname = 'public'
  where c.relname = 'user_sessions' and c.relkind = 'r'
)::text
