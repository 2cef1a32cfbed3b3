-- Each session with its duration in seconds, for statistics. One that was ended by a timeout, or is not over, counts to its last
-- sign of life: no sweep changes it. Any other counts to ended_at, or to where a run would settle that. Never below 0.
-- (An end between start and now is plausible. Only the few others are looked up, by their place.)
-- ended_by: the reason that the end has, where it has one.
create or replace view sessctl.session_duration
with (security_invoker = true) as
select
  s.user_id,
  s.platform,
  s.started_at,
  s.status in ('ended', 'timeout') as is_over,
  s.status = 'timeout' or s.status = 'ended' and coalesce(s.end_reason = 'timeout', false) as is_timeout,
  case
    when isfinite(s.started_at) then date_part('epoch', greatest(
      s.started_at,
      case
        when s.status <> 'ended' or s.end_reason = 'timeout' then s.last_seen
        when s.ended_at between s.started_at and now() then s.ended_at
        else (
          select case when e.is_implausible then e.last_seen else e.ended_at end
          from sessctl.ended_last_seen as e
          where e.row_id = s.row_id
        )
      end
    ) - s.started_at)
  end as seconds,
  case s.status when 'timeout' then 'timeout' when 'ended' then s.end_reason end as ended_by
from sessctl.session_last_seen as s;
