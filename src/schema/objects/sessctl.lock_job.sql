-- The lock of a job, which keeps every other run of it out until the transaction ends. False: another transaction has it.
create or replace function sessctl.lock_job(job_name text)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  return pg_try_advisory_xact_lock(1936028531, case job_name when 'end-inactive' then 2 when 'cleanup' then 3 end);
end
$$;
