-- sessctl's jobs with their failures of the last day. No parameters.
select coalesce(json_agg(json_build_object(
  'name', j.jobname,
  'schedule', j.schedule,
  'active', j.active,
  'failed_lately', (
    select count(*)
    from cron.job_run_details as d
    where d.jobid = j.jobid and d.status = 'failed' and d.start_time > now() - interval '1 day'
  ),
  'last_error', (
    -- The lines below the first may show a row.
    select split_part(d.return_message, E'\n', 1)
    from cron.job_run_details as d
    where d.jobid = j.jobid and d.status = 'failed' and d.start_time > now() - interval '1 day'
    order by d.start_time desc
    limit 1
  )
) order by j.jobname), '[]')::text
from cron.job as j
where j.jobname in ('sessctl-end-inactive', 'sessctl-cleanup')
