-- Whether an archive is required, and pg_cron runs the cleanup here.
select (j.archive_required and exists (
  select from cron.job as c where c.jobname = 'sessctl-cleanup' and c.active and c.database = current_database()
))::text
from sessctl.job as j
where j.name = 'cleanup'
