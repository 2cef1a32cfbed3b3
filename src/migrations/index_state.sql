-- How an index of public.user_sessions stands: there or not, valid or not, and whether a build is running on the table
-- (by a process whose client may be long gone). $1: the index's name.
select json_build_object(
  'exists', i.indexrelid is not null,
  'valid', coalesce(i.indisvalid and i.indisready, false),
  'builder', (
    select min(p.pid)
    from pg_catalog.pg_stat_progress_create_index as p
    where p.datname = current_database() and p.relid = sessions.oid
  ),
  'oldest', (
    select json_build_object('pid', a.pid, 'seconds', extract(epoch from now() - a.xact_start)::integer, 'state', a.state)
    from pg_catalog.pg_stat_activity as a
    where a.datname = current_database() and a.pid <> pg_backend_pid() and coalesce(a.backend_xid, a.backend_xmin) is not null
      and a.xact_start < now() - interval '1 second'
    order by a.xact_start
    limit 1
  )
)::text
from (select 'public.user_sessions'::regclass as oid) as sessions
left join (
  pg_catalog.pg_index as i join pg_catalog.pg_class as c on c.oid = i.indexrelid
) on i.indrelid = sessions.oid and c.relname = $1
