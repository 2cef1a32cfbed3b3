-- The indexes that only reads use, whether a query found a row by each (doctor's own look for implausible times finds none in a table
-- without any), and since when the statistics count, in seconds: a crash or an upgrade of the server resets them. $1: their
-- names.
select json_build_object(
  'rows', greatest(t.n_live_tup, c.reltuples)::bigint,
  'updates', coalesce(t.n_tup_upd, 0),
  'hot_updates', coalesce(t.n_tup_hot_upd, 0),
  'counted_for', extract(epoch from now() - greatest(d.stats_reset, b.stats_reset))::bigint,
  'has_record', (
    select count(*) = 2
    from pg_catalog.pg_class as r
    join pg_catalog.pg_namespace as n on n.oid = r.relnamespace
    where n.nspname = 'sessctl' and r.relname in ('schema_history', 'declared') and r.relkind = 'r'
      and has_schema_privilege(n.oid, 'USAGE') and has_table_privilege(r.oid, 'SELECT')
  ),
  'indexes', (
    select coalesce(json_agg(json_build_object(
      'name', i.indexrelname, 'is_used', i.idx_tup_read > 0, 'size', pg_size_pretty(pg_relation_size(i.indexrelid))
    ) order by array_position($1, i.indexrelname::text)), '[]')
    from pg_catalog.pg_stat_user_indexes as i
    where i.relid = c.oid and i.indexrelname = any ($1)
  )
)::text
from pg_catalog.pg_class as c
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace and n.nspname = 'public'
left join pg_catalog.pg_stat_user_tables as t on t.relid = c.oid
left join pg_catalog.pg_stat_database as d on d.datname = current_database()
left join pg_catalog.pg_stat_bgwriter as b on true
where c.relname = 'user_sessions' and c.relkind = 'r'
