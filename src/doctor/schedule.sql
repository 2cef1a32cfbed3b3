-- Whether pg_cron's scheduler runs, and the newest finished run of each of sessctl's jobs. $1: the jobs' names. Runs are in the
-- order of their ids: one that could not connect has no times.
select json_build_object(
  'has_scheduler', exists (
    select from pg_catalog.pg_stat_activity as a where a.application_name = 'pg_cron scheduler'
  ),
  'runs', coalesce((
    select json_agg(json_build_object(
      'job', j.jobid,
      'failed', newest.status = 'failed',
      -- The lines below the first may show a row.
      'message', split_part(newest.return_message, E'\n', 1),
      'recent', recent.runs,
      'failed_recent', recent.failed
    ))
    from cron.job as j
    cross join lateral (
      select d.status, d.return_message
      from cron.job_run_details as d
      where d.jobid = j.jobid and d.status in ('succeeded', 'failed')
      order by d.runid desc
      limit 1
    ) as newest
    cross join lateral (
      select count(*) as runs, count(*) filter (where l.status = 'failed') as failed
      from (
        select d.status from cron.job_run_details as d where d.jobid = j.jobid order by d.runid desc limit 50
      ) as l
    ) as recent
    where j.jobname = any ($1)
  ), '[]')
)::text
