-- Active sessions that were last seen over an hour ago. No parameters.
select count(*)
from public.user_sessions as s
where s.status = 'active' and coalesce(
  case when s.last_heartbeat_at <= now() + interval '5 minutes' then s.last_heartbeat_at end,
  case when s.last_activity_at <= now() + interval '5 minutes' then s.last_activity_at end,
  case when s.updated_at <= now() + interval '5 minutes' then s.updated_at end,
  case when s.created_at <= now() + interval '5 minutes' then s.created_at end,
  '-infinity') < now() - interval '1 hour'
