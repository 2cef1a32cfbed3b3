-- Each job with its last run and its last success.
select coalesce(json_agg(json_build_object(
  'job', j.name,
  'threshold', j.threshold,
  'last_run', sessctl.run_facts(j.last_run),
  'last_success', sessctl.run_facts(j.last_success)
) order by j.name desc), '[]')::text
from sessctl.job as j
