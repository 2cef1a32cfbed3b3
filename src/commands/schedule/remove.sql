-- Removes sessctl's jobs, those of other users where this role may; returns their names. $1: the jobs' names.
select coalesce(json_agg(removed.jobname order by removed.jobname), '[]')::text
from (
  select j.jobname, cron.unschedule(j.jobid)
  from cron.job as j
  where j.jobname = any ($1) and (j.username = current_user or has_table_privilege('cron.job', 'DELETE'))
) as removed
