-- Sessions as apps write them, $1 of them, five seconds apart, the newest ended 95 days ago.
insert into public.user_sessions (
  user_id, session_id, platform, status, end_reason, started_at, last_activity_at, ended_at, last_heartbeat_at, created_at,
  device_info, location_info, user_agent, ip_address, total_duration_seconds, activity_count
)
select
  u.ids[1 + n % 1000], gen_random_uuid()::text,
  (array['web', 'ios-external', 'ios-internal', 'ios-widget', 'macos-internal'])[1 + n % 5], 'timeout', 'timeout',
  e.at - e.length, e.at, e.at, e.at, e.at - e.length,
  jsonb_build_object(
    'os', (array['iOS', 'macOS', 'Windows', 'Android'])[1 + (random() * 3)::int], 'version', (14 + random() * 4)::numeric(4, 1),
    'model', 'Device ' || (random() * 60)::int, 'locale', 'en_US'),
  jsonb_build_object('city', 'City ' || (random() * 500)::int, 'country', 'DE'),
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_' || (random() * 9)::int || ') AppleWebKit/605.1.15 (KHTML, like Gecko) Version/'
    || (14 + random() * 4)::int || '.' || (random() * 9)::int || ' Safari/605.1.15',
  ('10.' || (random() * 255)::int || '.' || (random() * 255)::int || '.' || (random() * 255)::int)::inet,
  extract(epoch from e.length)::int, (random() * 100)::int
from generate_series(1, $1::bigint) as n
cross join (select array(select id from auth.users) as ids) as u
cross join lateral (
  select now() - interval '95 days' - n * interval '5 seconds', random() * interval '2 hours' where n > 0
) as e (at, length)
