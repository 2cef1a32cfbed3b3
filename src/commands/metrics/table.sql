-- Rows of the table as the statistics have them. Null where it is no table. No parameters.
select (
  select json_build_object(
    'live', coalesce(pg_stat_get_live_tuples(t.oid), 0),
    'dead', coalesce(pg_stat_get_dead_tuples(t.oid), 0)
  )
  from pg_catalog.pg_class as t
  join pg_catalog.pg_namespace as n on n.oid = t.relnamespace
  where n.nspname = 'public' and t.relname = 'user_sessions' and t.relkind = 'r'
)::text
