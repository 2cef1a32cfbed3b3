-- The run of a job that keeps run_id out: what its record says, and the process that holds the job's lock. Times in seconds. Every role
-- sees the process; only some see since when it has been in a transaction. is_repeated: it has kept another run out before.
-- is_stuck: it has been running for so long that the work may never be done.
create or replace function sessctl.other_run(
  job_name text,
  run_id uuid default null,
  out source text,
  out role name,
  out "rows" bigint,
  out running_for bigint,
  out process integer,
  out in_transaction_for bigint,
  out is_repeated boolean,
  out is_stuck boolean
)
language plpgsql
stable
set search_path = ''
as $$
declare
  record_since timestamptz;
  transaction_since timestamptz;
begin
  select r.source, r.role, r.rows_done, r.started_at into source, role, "rows", record_since
  from sessctl.job as j
  join sessctl.run as r on r.id = j.running
  where j.name = job_name and j.running is distinct from run_id and sessctl.is_running(j.running);
  select l.pid, a.xact_start into process, transaction_since
  from pg_catalog.pg_locks as l
  cross join sessctl.job_lock(job_name) as k
  left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
  where l.locktype = 'advisory' and l.granted and l.classid = k.class::oid and l.objid = k.number::oid and l.objsubid = 2
    and l.pid <> pg_backend_pid()
    and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
  limit 1;
  "rows" := coalesce("rows", 0);
  running_for := extract(epoch from clock_timestamp() - record_since)::bigint;
  in_transaction_for := extract(epoch from clock_timestamp() - transaction_since)::bigint;
  is_repeated := exists (
    select from sessctl.run as s
    where s.job = job_name and s.outcome = 'skipped' and s.id is distinct from run_id
      and s.started_at > coalesce(record_since, transaction_since, clock_timestamp() - interval '1 hour')
  );
  is_stuck := coalesce(greatest(running_for, in_transaction_for) >= 15 * 60, false);
end
$$;
