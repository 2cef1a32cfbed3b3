-- The advisory lock of a job, in the two numbers that such a lock has.
create or replace function sessctl.job_lock(job_name text, out class integer, out number integer)
language plpgsql
immutable
set search_path = ''
as $$
begin
  class := 1936028531;
  number := case job_name when 'end-inactive' then 2 when 'cleanup' then 3 when 'anonymize' then 4 end;
end
$$;
