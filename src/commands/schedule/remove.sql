-- Takes sessctl's jobs away, as far as they are there; gives back their names. $1: the jobs' names.
select coalesce(json_agg(removed.jobname order by removed.jobname), '[]')::text
from (
  select j.jobname, cron.unschedule(j.jobid)
  from cron.job as j
  where j.jobname = any ($1)
) as removed
