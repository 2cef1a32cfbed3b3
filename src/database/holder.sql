-- Who most likely stood in the way: of those that hold a lock on the table, or one that a foreign key to auth.users meets,
-- the oldest with the strongest; or null. Its statement is shown up to the first quoted value. No parameters.
select coalesce((
  select json_build_object(
    'pid', a.pid,
    'seconds', extract(epoch from now() - coalesce(a.query_start, a.xact_start))::integer,
    'state', coalesce(a.state, 'unknown'),
    'query', left(regexp_replace(regexp_replace(a.query, '\s+', ' ', 'g'), '(''|\$[A-Za-z_]*\$).*', '…'), 80)
  )
  from pg_catalog.pg_locks as l
  join pg_catalog.pg_stat_activity as a on a.pid = l.pid
  where l.granted and l.pid <> pg_backend_pid()
    and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
    and exists (
      select
      from pg_catalog.pg_class as c
      join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
      where c.oid = l.relation and ((n.nspname, c.relname) = ('public', 'user_sessions')
        or (n.nspname, c.relname) = ('auth', 'users') and l.mode not in ('AccessShareLock', 'RowShareLock'))
    )
  order by
    array_position(
      array['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock', 'ShareUpdateExclusiveLock'],
      l.mode
    ),
    a.xact_start
  limit 1
), 'null')::text
