-- Schedules a job, or changes the one of that name in place. $1: name; $2: when; $3: command.
-- One that is switched off would stay so: it goes first.
select to_json(cron.schedule($1, $2, $3))::text
from (
  select count(cron.unschedule(j.jobid)) as jobs
  from cron.job as j
  where j.jobname = $1 and not j.active and j.username = current_user
) as switched_off
where switched_off.jobs >= 0
