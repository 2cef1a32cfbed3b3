-- The last runs, newest first.
select coalesce(json_agg(json_build_object('job', r.job, 'run', r.run) order by r.started_at desc), '[]')::text
from (
  select r.job, r.started_at, json_build_object(
    'source', r.source, 'role', r.role, 'started_at', r.started_at, 'finished_at', r.finished_at,
    'outcome', coalesce(
      r.outcome, case when r.progress_at > clock_timestamp() - interval '1 minute' then 'running' else 'lost' end),
    'rows', r.rows_done, 'settled', r.rows_settled, 'left', r.rows_left, 'message', left(r.message, 500)) as run
  from sessctl.run as r
  order by r.started_at desc
  limit 20
) as r
