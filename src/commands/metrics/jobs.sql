-- What the runs of each job left, from the row that is never removed. Times are seconds since 1970. No parameters.
select coalesce(json_agg(json_build_object(
  'job', j.name,
  'threshold', j.threshold,
  'last_success', case when isfinite(j.last_success_at) then extract(epoch from j.last_success_at) end,
  'last_failure', case when isfinite(j.last_failure_at) then extract(epoch from j.last_failure_at) end,
  'runs', j.runs,
  'failed_runs', j.failures,
  'done', j.rows_done,
  'failed', j.rows_failed
) order by j.name), '[]')::text
from sessctl.job as j
