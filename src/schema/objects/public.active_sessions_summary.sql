-- security_invoker: each reader sees what row level security lets them see of the table.
-- A started_at that a client made up is taken into bounds first, so that no difference is out of range. A call of
-- calculate_session_duration for each row would take longer than all the rest.
create or replace view public.active_sessions_summary
with (security_invoker = true) as
select
  platform,
  count(*) as active_count,
  (avg(date_part('epoch', now() - least(greatest(started_at, '2000-01-01 00:00:00+00'), now()))) / 60)::numeric as avg_session_minutes,
  min(started_at) as oldest_session,
  max(last_activity_at) as latest_activity
from public.user_sessions
where status = 'active'
group by platform;
