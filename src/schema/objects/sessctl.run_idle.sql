-- A run that finds nothing to do, recorded. include_idle: of a sweep. archives: a cleanup with an archive; one without it fails
-- where the database requires one. False: another run is running.
create or replace function sessctl.run_idle(
  run_id uuid,
  job_name text,
  source text,
  cutoff timestamptz,
  threshold integer,
  generation integer default 0,
  include_idle boolean default null,
  archives boolean default false
)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  -- Nearly always nothing stands in the way, and one statement does it.
  if sessctl.lock_job(job_name, generation, run_id) then
    with counted as (
      update sessctl.job as j
      set last_run = run_id, last_success = run_id, last_success_at = clock_timestamp(), runs = j.runs + 1,
        threshold = run_idle.threshold, include_idle = coalesce(run_idle.include_idle, j.include_idle)
      where j.name = job_name and j.running is null and j.pruned_at > now() - interval '1 day'
        and j.table_id = 'public.user_sessions'::regclass and j.last_run is distinct from run_id
        and (archives or not j.archive_required)
      returning true
    )
    insert into sessctl.run (id, job, source, cutoff, finished_at, outcome)
    select run_id, job_name, source, cutoff, clock_timestamp(), 'done' from counted;
    if found then
      return true;
    end if;
  end if;
  if job_name = 'cleanup' and not archives then
    perform sessctl.require_archive();
  end if;
  if sessctl.run_begin_batch(run_id, job_name, source, generation, cutoff, threshold) then
    perform sessctl.run_finish(run_id, 'done'), sessctl.note_include_idle(include_idle);
    return true;
  end if;
  -- Done: recorded before, and the answer was lost.
  return (select r.outcome = 'done' from sessctl.run as r where r.id = run_id);
end
$$;
