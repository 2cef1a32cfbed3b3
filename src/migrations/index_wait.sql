-- The transaction that the build of an index of public.user_sessions waits for, or null. No parameters.
select coalesce((
  select json_build_object(
    'pid', a.pid, 'seconds', coalesce(extract(epoch from now() - a.xact_start)::integer, 0), 'state', a.state
  )
  from pg_catalog.pg_stat_progress_create_index as p
  join pg_catalog.pg_stat_activity as a on a.pid = p.current_locker_pid
  where p.datname = current_database() and p.relid = 'public.user_sessions'::regclass
  limit 1
), 'null')::text
