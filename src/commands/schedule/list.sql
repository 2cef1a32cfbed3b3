-- sessctl's jobs with their last runs, newest first: five, and the last one that failed. $1: the jobs' names. Runs are in the
-- order of their ids: one that could not connect has no times. The commands of earlier versions returned a row for each session,
-- and pg_cron notes how many rows came back.
select coalesce(json_agg(json_build_object(
  'name', j.jobname,
  'schedule', j.schedule,
  'command', j.command,
  'active', j.active,
  'database', j.database,
  'username', j.username,
  'is_here', j.database = current_database(),
  'runs', (
    select coalesce(json_agg(json_build_object(
      'started', d.start_time,
      'ended', d.end_time,
      'elapsed_ms', (extract(epoch from d.end_time - d.start_time) * 1000)::bigint,
      'status', d.status,
      'rows', case when d.command like '%generate\_series%' then
        substring(d.return_message from '^(?:SELECT )?([0-9]+)( rows?)?$')::bigint end,
      -- The lines below the first may show a row.
      'message', split_part(d.return_message, E'\n', 1)
    ) order by d.runid desc), '[]')
    from (
      (select * from cron.job_run_details as d where d.jobid = j.jobid order by d.runid desc limit 5)
      union
      (
        select *
        from cron.job_run_details as d
        where d.jobid = j.jobid and d.status = 'failed'
        order by d.runid desc
        limit 1
      )
    ) as d
  )
) order by j.jobname, j.jobid), '[]')::text
from cron.job as j
where j.jobname = any ($1)
