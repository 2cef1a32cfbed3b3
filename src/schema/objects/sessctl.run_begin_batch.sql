-- Begins a batch: writes the run's record, so that its row is locked until the batch ends, then takes the job's lock.
-- False: another run is running, or took this one's place; the record says so. An error (SQLSTATE SC001): the run continues
-- over another connection, and this batch must not count.
create or replace function sessctl.run_begin_batch(
  run_id uuid,
  job_name text,
  source text,
  generation integer,
  cutoff timestamptz,
  threshold integer
)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  is_first boolean;
  stored_generation integer;
  stored_outcome text;
begin
  insert into sessctl.run as r (id, job, source, generation, cutoff)
  values (run_id, job_name, source, generation, cutoff)
  on conflict (id) do update set progress_at = clock_timestamp()
  returning r.xmax = 0, r.generation, r.outcome into is_first, stored_generation, stored_outcome;
  if stored_outcome is not null then
    return false;
  end if;
  if stored_generation <> generation then
    raise exception 'run % continues over another connection', run_id using errcode = 'SC001';
  end if;
  -- The job's row knows a run from its first batch on, unless the record was made again after a lost connection.
  if sessctl.lock_job(job_name, generation, run_id)
    and (not is_first and generation = 0 or sessctl.run_take_over(run_id, job_name, threshold))
  then
    return true;
  end if;
  update sessctl.run as r set outcome = 'skipped', finished_at = clock_timestamp() where r.id = run_id;
  return false;
end
$$;
