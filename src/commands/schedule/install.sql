-- Schedules a job, or changes the one of that name in place. $1: name; $2: when; $3: command.
-- cron.schedule leaves whether it is on, its database and its host as they are: where one of them is wrong, it goes first.
select to_json(cron.schedule($1, $2, $3))::text
from (
  select count(cron.unschedule(j.jobid)) as jobs
  from cron.job as j
  where j.jobname = $1 and j.username = current_user
    and (not j.active or j.database <> current_database() or j.nodename <> current_setting('cron.host'))
) as misplaced
where misplaced.jobs >= 0
