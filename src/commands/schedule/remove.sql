-- Takes sessctl's jobs away, as far as they are there; gives back their names. No parameters.
select coalesce(json_agg(removed.jobname order by removed.jobname), '[]')::text
from (
  select j.jobname, cron.unschedule(j.jobid)
  from cron.job as j
  where j.jobname in ('sessctl-end-inactive', 'sessctl-cleanup')
) as removed
