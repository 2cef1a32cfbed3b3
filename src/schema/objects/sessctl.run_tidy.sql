-- Removes what no longer counts: a record that stopped making progress is closed as lost, whose client is gone or stands still
-- (a batch of it that comes late finds the record closed); once a day, rows older than 30 days go, but not the job's last run
-- and last success.
create or replace function sessctl.run_tidy(run_id uuid, job_name text, stale uuid, pruned_at timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if stale <> run_id then
    with lost as (
      update sessctl.run as r
      set outcome = 'lost', finished_at = clock_timestamp(), generation = r.generation + 1
      where r.id = stale and r.outcome is null
      returning r.rows_done, r.rows_failed, r.finished_at
    )
    update sessctl.job as j
    set runs = j.runs + 1, failures = j.failures + 1, last_failure_at = lost.finished_at,
      rows_done = j.rows_done + lost.rows_done, rows_failed = j.rows_failed + lost.rows_failed
    from lost
    where j.name = job_name;
  end if;
  if pruned_at < now() - interval '1 day' then
    delete from sessctl.run as r
    using sessctl.job as j
    where j.name = r.job and r.started_at < now() - interval '30 days'
      and r.id is distinct from j.last_run and r.id is distinct from j.last_success and r.id is distinct from j.running;
    update sessctl.job as j set pruned_at = now() where j.name = job_name;
  end if;
end
$$;
