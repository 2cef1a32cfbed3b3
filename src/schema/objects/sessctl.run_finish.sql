-- Ends a run, once: a second call, after a lost answer, changes nothing. Gives back the record.
create or replace function sessctl.run_finish(
  run_id uuid,
  outcome text,
  rows_left bigint default null,
  message text default null,
  rows_failed bigint default 0,
  out batches integer,
  out rows_done bigint,
  out rows_settled bigint
)
language plpgsql
set search_path = ''
as $$
begin
  with finished as (
    update sessctl.run as r
    set outcome = run_finish.outcome, rows_left = run_finish.rows_left, rows_failed = run_finish.rows_failed,
      message = run_finish.message, finished_at = clock_timestamp(), progress_at = clock_timestamp()
    where r.id = run_id and r.outcome is null
    returning r.job, r.cutoff, r.started_at, r.finished_at, r.batches, r.rows_done, r.rows_settled, r.rows_failed
  ), counted as (
    update sessctl.job as j
    set running = nullif(j.running, run_id), runs = j.runs + 1,
      rows_done = j.rows_done + f.rows_done, rows_failed = j.rows_failed + f.rows_failed,
      -- The job's row does not know a run whose first batch failed.
      last_run = case
        when exists (select from sessctl.run as l where l.id = j.last_run and l.started_at > f.started_at) then j.last_run
        else run_id
      end,
      failures = j.failures + (run_finish.outcome = 'failed')::integer,
      resume_at = case
        when j.name = 'anonymize' and run_finish.outcome = 'done' and run_finish.rows_left is null then greatest(j.resume_at, f.cutoff)
        else j.resume_at
      end,
      last_failure_at = case when run_finish.outcome = 'failed' then f.finished_at else j.last_failure_at end,
      last_success = case when run_finish.outcome = 'done' then run_id else j.last_success end,
      last_success_at = case when run_finish.outcome = 'done' then f.finished_at else j.last_success_at end
    from finished as f
    where j.name = f.job
  )
  select f.batches, f.rows_done, f.rows_settled into batches, rows_done, rows_settled from finished as f;
  if not found then
    select r.batches, r.rows_done, r.rows_settled into batches, rows_done, rows_settled from sessctl.run as r where r.id = run_id;
  end if;
end
$$;
