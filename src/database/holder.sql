-- Who holds a lock on the table, or on the one it refers to: the oldest transaction among them, or null. No parameters.
select coalesce((
  select json_build_object(
    'pid', a.pid,
    'seconds', extract(epoch from now() - coalesce(a.query_start, a.xact_start))::integer,
    'state', coalesce(a.state, 'unknown'),
    'query', left(regexp_replace(a.query, '\s+', ' ', 'g'), 80)
  )
  from pg_catalog.pg_locks as l
  join pg_catalog.pg_stat_activity as a on a.pid = l.pid
  where l.granted and l.pid <> pg_backend_pid()
    and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
    and l.relation in (
      select c.oid
      from pg_catalog.pg_class as c
      join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
      where (n.nspname, c.relname) in (('public', 'user_sessions'), ('auth', 'users'))
    )
  order by a.xact_start
  limit 1
), 'null')::text
