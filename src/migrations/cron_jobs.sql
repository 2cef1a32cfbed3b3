-- The pg_cron jobs of these names that are this role's and run in this database. $1: names.
select coalesce(json_agg(json_build_object('id', j.jobid, 'name', j.jobname, 'command', j.command) order by j.jobname), '[]')::text
from cron.job as j
where j.jobname = any ($1) and j.username = current_user and j.database = current_database()
