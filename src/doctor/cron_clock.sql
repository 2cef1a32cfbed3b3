-- Whether pg_cron's scheduler runs, and the time by the clock of its schedules. No parameters. Before version 1.5 that is GMT.
select json_build_object(
  'has_scheduler', exists (
    select from pg_catalog.pg_stat_activity as a where a.application_name = 'pg_cron scheduler'
  ),
  'now', now() at time zone coalesce(nullif(current_setting('cron.timezone', true), ''), 'GMT')
)::text
