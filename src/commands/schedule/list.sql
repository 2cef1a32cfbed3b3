-- sessctl's jobs with their last runs, newest first. $1: the jobs' names. A job's command gives back a row for each session it
-- ended or deleted, and pg_cron notes how many rows came back.
select coalesce(json_agg(json_build_object(
  'name', j.jobname,
  'schedule', j.schedule,
  'command', j.command,
  'active', j.active,
  'runs', (
    select coalesce(json_agg(json_build_object(
      'started', d.start_time,
      'elapsed_ms', (extract(epoch from d.end_time - d.start_time) * 1000)::bigint,
      'status', d.status,
      'rows', substring(d.return_message from '^(?:SELECT )?([0-9]+)( rows?)?$')::bigint,
      'message', d.return_message
    ) order by d.start_time desc nulls last), '[]')
    from (
      select * from cron.job_run_details as d where d.jobid = j.jobid order by d.runid desc limit 5
    ) as d
  )
) order by j.jobname), '[]')::text
from cron.job as j
where j.jobname = any ($1)
