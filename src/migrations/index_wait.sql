-- The transaction that the build of an index of public.user_sessions waits for, or the drop of one, or null. No parameters.
select coalesce((
  select json_build_object(
    'pid', a.pid, 'seconds', coalesce(extract(epoch from now() - a.xact_start)::integer, 0), 'state', a.state
  )
  from pg_catalog.pg_locks as l
  join pg_catalog.pg_stat_activity as a on a.pid = any (pg_catalog.pg_blocking_pids(l.pid))
  where l.relation = 'public.user_sessions'::regclass and l.mode = 'ShareUpdateExclusiveLock'
    and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
  limit 1
), 'null')::text
