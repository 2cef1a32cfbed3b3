-- The minutes or days of a job's newest run; null before the first. A function, so that a run without work need not plan it.
create or replace function sessctl.last_threshold(job_name text)
returns integer
language sql
stable
set search_path = ''
as $$
  select j.threshold from sessctl.job as j where j.name = job_name
$$;
