-- Sizes of the table and of its indexes in bytes, and its rows as the statistics have them. Null where it is no table. No parameters.
select (
  select json_build_object(
    'bytes', coalesce(pg_table_size(t.oid), 0),
    'live', coalesce(pg_stat_get_live_tuples(t.oid), 0),
    'dead', coalesce(pg_stat_get_dead_tuples(t.oid), 0),
    'indexes', (
      select coalesce(json_agg(json_build_object('index', c.relname, 'bytes', coalesce(pg_relation_size(c.oid), 0)) order by c.relname), '[]')
      from pg_catalog.pg_index as i
      join pg_catalog.pg_class as c on c.oid = i.indexrelid
      where i.indrelid = t.oid
    )
  )
  from pg_catalog.pg_class as t
  join pg_catalog.pg_namespace as n on n.oid = t.relnamespace
  where n.nspname = 'public' and t.relname = 'user_sessions' and t.relkind = 'r'
)::text
