-- sessctl's jobs that belong to other users, as far as this role sees them. $1: the jobs' names.
select coalesce(json_agg(json_build_object('id', j.jobid, 'name', j.jobname, 'username', j.username) order by j.jobid), '[]')::text
from cron.job as j
where j.jobname = any ($1) and j.username <> current_user
