-- Schedules a job, or changes the one of that name in place. $1: name; $2: when; $3: command.
select to_json(cron.schedule($1, $2, $3))::text
