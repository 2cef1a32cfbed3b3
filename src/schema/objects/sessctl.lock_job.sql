-- The lock of a job, which keeps every other run of it out until the transaction ends. False: another run has it. A run that
-- lost its connection has a generation above 0: a transaction of its own may still hold the lock, and is waited for, until the
-- lock_timeout.
create or replace function sessctl.lock_job(job_name text, generation integer default 0)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  job constant integer := case job_name when 'end-inactive' then 2 when 'cleanup' then 3 end;
begin
  if generation = 0 then
    return pg_try_advisory_xact_lock(1936028531, job);
  end if;
  begin
    perform pg_advisory_xact_lock(1936028531, job);
    return true;
  exception
    when lock_not_available then
      return false;
  end;
end
$$;
