-- Takes the lock of a job, which keeps every other run of it out until the transaction ends. False: another run has it.
-- A run that lost its connection has a generation above 0: a transaction of its own may still hold the lock, which ends within
-- seconds. It is known by a second lock, which each transaction of a run shares, and is waited for: as long as lock_timeout says, then
-- lock_not_available is raised.
create or replace function sessctl.lock_job(job_name text, generation integer default 0, run_id uuid default null)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  lock constant record := sessctl.job_lock(job_name);
  run_lock constant bigint := uuid_hash_extended(run_id, 0);
begin
  perform pg_try_advisory_xact_lock_shared(run_lock);
  if pg_try_advisory_xact_lock(lock.class, lock.number) then
    return true;
  end if;
  if generation = 0 or coalesce(pg_try_advisory_xact_lock(run_lock), true) then
    return false;
  end if;
  perform pg_advisory_xact_lock(lock.class, lock.number);
  return true;
end
$$;
