-- Each job with its last run and its last success.
with facts as not materialized (
  select r.id, json_build_object(
    'source', r.source, 'role', r.role, 'started_at', r.started_at, 'finished_at', r.finished_at,
    'outcome', coalesce(
      r.outcome, case when r.progress_at > clock_timestamp() - interval '1 minute' then 'running' else 'lost' end),
    'rows', r.rows_done, 'settled', r.rows_settled, 'left', r.rows_left, 'message', r.message) as run
  from sessctl.run as r
)
select coalesce(json_agg(json_build_object(
  'job', j.name, 'threshold', j.threshold, 'include_idle', j.include_idle, 'archive_required', j.archive_required, 'removes', j.removes,
  'last_run', l.run, 'last_success', s.run
) order by j.name desc), '[]')::text
from sessctl.job as j
left join facts as l on l.id = j.last_run
left join facts as s on s.id = j.last_success
