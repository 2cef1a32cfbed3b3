-- Some thousand sessions on five platforms: active, inactive, idle, ended recently and past retention. Run as postgres.
insert into auth.users (id, email)
select md5('user ' || n)::uuid, 'user' || n || '@example.com'
from generate_series(1, 800) as n;

insert into public.user_sessions (
  user_id, session_id, platform, status, end_reason,
  started_at, last_activity_at, last_heartbeat_at, ended_at, total_duration_seconds, activity_count, device_info
)
select
  md5('user ' || 1 + n % 800)::uuid,
  'session-' || n,
  (array['web', 'web', 'web', 'ios-external', 'ios-external', 'ios-internal', 'ios-widget', 'macos-internal'])[1 + n % 8],
  kind.status,
  kind.end_reason,
  kind.seen - lasted.span,
  kind.seen,
  kind.seen,
  case when kind.end_reason is not null then kind.seen end,
  case when kind.end_reason is not null then extract(epoch from lasted.span)::integer else 0 end,
  n % 40,
  '{"os": "sample"}'
from generate_series(1, 6000) as n
cross join lateral (select make_interval(secs => 60 + n * 7919 % 14000) as span) as lasted
cross join lateral (
  select
    case
      when n % 20 < 7 then 'active'
      when n % 20 < 8 then 'idle'
      else 'ended'
    end as status,
    case when n % 20 >= 8 then (array['logout', 'app_close', 'manual'])[1 + n % 3] end as end_reason,
    now() - case
      when n % 20 < 4 then make_interval(secs => n * 31 % 3000)
      when n % 20 < 7 then make_interval(secs => 3700 + n * 131 % 500000)
      when n % 20 < 8 then make_interval(secs => n * 17 % 3000)
      when n % 20 < 13 then make_interval(secs => n * 997 % 7000000)
      else make_interval(secs => 90 * 86400 + 60 + n * 997 % 9000000)
    end as seen
) as kind;
