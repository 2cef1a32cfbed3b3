-- sessctl's jobs in pg_cron, the number that each gives its function, and whether it ends idle sessions too. $1: the jobs' names.
select coalesce(json_agg(json_build_object(
  'id', j.jobid,
  'name', j.jobname,
  'schedule', j.schedule,
  'active', j.active,
  'database', j.database,
  'is_here', j.database = current_database(),
  'username', j.username,
  'command', j.command,
  'threshold', substring(
    j.command from '(?:end_inactive|cleanup|anonymize|_sessions)\s*\(\s*(?:[a-z_]+\s*=>\s*)?([0-9]{1,8})\M')::integer,
  'option', j.command ~* '\mtrue\M'
) order by j.jobname, j.jobid), '[]')::text
from cron.job as j
where j.jobname = any ($1)
