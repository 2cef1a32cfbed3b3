-- When pg_cron's last runs of each job that met their limit began, by the record. No parameters.
select coalesce(json_agg(json_build_object('job', j.name, 'started_at', r.started_at)), '[]')::text
from sessctl.job as j
cross join lateral (
  select r.started_at
  from sessctl.run as r
  where r.job = j.name and r.source = 'pg_cron' and r.outcome = 'incomplete'
  order by r.started_at desc
  limit 10
) as r
