-- Each session of status ended or timeout, whether its ended_at is implausible, and the last sign of life it gave.
-- Implausible: null, infinite, over five minutes in the future, or over five minutes before a started_at that is finite and not in
-- the future. (Nothing is subtracted from the first five minutes of all time.)
-- The last sign of life: of updated_at, which a trigger writes, and the times that clients write, the first that is finite and not
-- in the future; never before such a started_at, so that it is plausible itself. Without any: now.
-- The parts of is_implausible are those that an index finds: see idx_user_sessions_unsettled and idx_user_sessions_ended_at.
create or replace view sessctl.ended_last_seen
with (security_invoker = true) as
select
  s.ctid as row_id,
  s.id,
  s.session_id,
  s.started_at,
  s.ended_at,
  s.total_duration_seconds,
  s.ended_at is null
    or s.ended_at = '-infinity'
    or s.ended_at > now() + interval '5 minutes'
    or s.ended_at < s.started_at and s.started_at <= now() + interval '5 minutes'
      and s.ended_at < greatest(s.started_at, '4714-11-24 00:05:00+00 BC') - interval '5 minutes' as is_implausible,
  coalesce(
    greatest(
      coalesce(
        case when isfinite(s.updated_at) and s.updated_at <= now() + interval '5 minutes' then s.updated_at end,
        case when isfinite(s.last_heartbeat_at) and s.last_heartbeat_at <= now() + interval '5 minutes' then s.last_heartbeat_at end,
        case when isfinite(s.last_activity_at) and s.last_activity_at <= now() + interval '5 minutes' then s.last_activity_at end,
        case when isfinite(s.created_at) and s.created_at <= now() + interval '5 minutes' then s.created_at end
      ),
      case when isfinite(s.started_at) and s.started_at <= now() + interval '5 minutes' then s.started_at end
    ),
    now()
  ) as last_seen,
  s.xmin as row_version,
  s.ip_address,
  s.user_agent,
  s.location_info
from only public.user_sessions as s
where s.status in ('ended', 'timeout');
