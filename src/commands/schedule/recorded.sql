-- pg_cron's last runs of each job, by the record. No parameters.
select coalesce(json_agg(json_build_object(
  'job', j.name, 'started_at', r.started_at, 'rows', r.rows_done, 'met_limit', r.outcome = 'incomplete'
)), '[]')::text
from sessctl.job as j
cross join lateral (
  select r.started_at, r.rows_done, coalesce(r.outcome, '') as outcome
  from sessctl.run as r
  where r.job = j.name and r.source = 'pg_cron'
  order by r.started_at desc
  limit 20
) as r
