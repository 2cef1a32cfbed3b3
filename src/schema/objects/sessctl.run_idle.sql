-- A run that finds nothing to do, recorded. False: another run is running.
create or replace function sessctl.run_idle(
  run_id uuid,
  job_name text,
  source text,
  cutoff timestamptz,
  threshold integer,
  generation integer default 0
)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  -- Nearly always nothing stands in the way, and one statement does it.
  if sessctl.lock_job(job_name, generation) then
    with counted as (
      update sessctl.job as j
      set last_run = run_id, last_success = run_id, last_success_at = clock_timestamp(), runs = j.runs + 1,
        threshold = run_idle.threshold
      where j.name = job_name and j.running is null and j.pruned_at > now() - interval '1 day'
        and j.table_id = 'public.user_sessions'::regclass and j.last_run is distinct from run_id
      returning true
    )
    insert into sessctl.run (id, job, source, cutoff, finished_at, outcome)
    select run_id, job_name, source, cutoff, clock_timestamp(), 'done' from counted;
    if found then
      return true;
    end if;
  end if;
  if sessctl.run_begin_batch(run_id, job_name, source, generation, cutoff, threshold) then
    perform sessctl.run_finish(run_id, 'done');
    return true;
  end if;
  -- Done: recorded before, and the answer was lost.
  return (select r.outcome = 'done' from sessctl.run as r where r.id = run_id);
end
$$;
