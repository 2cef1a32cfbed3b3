-- Removes pg_cron's rows about runs of sessctl's jobs that ended so many days ago, as far as they are the caller's, and gives back
-- how many. A run that could not connect has no times: it is as old as the runs around it.
create or replace function sessctl.trim_cron_history(days integer)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  removed bigint;
begin
  if days is null or days not between 1 and 36500 then
    raise exception 'days must be from 1 to 36500, not %', coalesce(days::text, 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  -- As a text: most databases have no pg_cron.
  execute concat($sql$
    delete from cron.job_run_details as d
    where coalesce(d.end_time, d.start_time, '-infinity') < now() - $1
      and d.runid <= (select max(o.runid) from cron.job_run_details as o where o.end_time < now() - $1)
      and (
        d.jobid in (select j.jobid from cron.job as j where j.jobname like 'sessctl-%')
        or d.command ~ '^(call|select) sessctl\.' and d.jobid not in (select j.jobid from cron.job as j)
      )
  $sql$) using make_interval(days => days);
  get diagnostics removed = row_count;
  return removed;
end
$$;
