-- A run as status shows it; null where it is not there.
create or replace function sessctl.run_facts(run_id uuid)
returns json
language sql
stable
set search_path = ''
as $$
  select json_build_object(
    'source', r.source, 'role', r.role, 'started_at', r.started_at, 'finished_at', r.finished_at,
    'outcome', coalesce(
      r.outcome, case when r.progress_at > clock_timestamp() - interval '1 minute' then 'running' else 'lost' end),
    'rows', r.rows_done, 'left', r.rows_left, 'message', r.message)
  from sessctl.run as r
  where r.id = run_id
$$;
