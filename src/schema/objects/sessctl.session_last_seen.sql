-- Each session with the last sign of life it gave: of the times that clients write, the first that is set and not
-- in the future (five minutes are forgiven to a clock that is ahead). Without any it has never been seen.
create or replace view sessctl.session_last_seen
with (security_invoker = true) as
select
  s.ctid as row_id,
  s.status,
  s.end_reason,
  s.started_at,
  s.ended_at,
  s.total_duration_seconds,
  coalesce(
    case when s.last_heartbeat_at <= now() + interval '5 minutes' then s.last_heartbeat_at end,
    case when s.last_activity_at <= now() + interval '5 minutes' then s.last_activity_at end,
    case when s.updated_at <= now() + interval '5 minutes' then s.updated_at end,
    case when s.created_at <= now() + interval '5 minutes' then s.created_at end,
    '-infinity'
  ) as last_seen,
  s.user_id,
  s.platform,
  s.last_activity_at
from only public.user_sessions as s;
