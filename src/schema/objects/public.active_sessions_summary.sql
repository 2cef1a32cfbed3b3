-- security_invoker: each reader sees what row level security lets them see of the table.
create or replace view public.active_sessions_summary
with (security_invoker = true) as
select
  platform,
  count(*) as active_count,
  avg(public.calculate_session_duration(started_at, now())) / 60.0 as avg_session_minutes,
  min(started_at) as oldest_session,
  max(last_activity_at) as latest_activity
from public.user_sessions
where status = 'active'
group by platform;
