-- The run that keeps this one out: what its record says, and the session that holds the lock of the job (see sessctl.lock_job). Times in
-- seconds. Who holds it is seen by everybody, since when not by every role.
select json_build_object(
  'source', r.source,
  'role', r.role,
  'rows', coalesce(r.rows_done, 0),
  'running_for', extract(epoch from clock_timestamp() - r.started_at)::bigint,
  'process', h.pid,
  'in_transaction_for', extract(epoch from clock_timestamp() - h.xact_start)::bigint,
  'is_repeated', exists (
    select from sessctl.run as s
    where s.job = :job and s.outcome = 'skipped' and s.id <> :run
      and s.started_at > coalesce(r.started_at, h.xact_start, clock_timestamp() - interval '1 hour')
  )
)::text
from (select) as one_row
left join sessctl.job as j on j.name = :job
left join sessctl.run as r on r.id = j.running and r.outcome is null
left join (
  select l.pid, a.xact_start
  from pg_catalog.pg_locks as l
  left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
  where l.locktype = 'advisory' and l.granted and l.classid = 1936028531 and l.pid <> pg_backend_pid()
    and l.objid = case :job when 'end-inactive' then 2 when 'cleanup' then 3 end
    and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
  limit 1
) as h on true
