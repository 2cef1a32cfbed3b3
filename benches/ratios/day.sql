-- A day of an app. Settings: bench.day; bench.starts: how many sessions begin. Half of them are ended by their client, the others
-- stop their heartbeats. Each statement is a transaction.
insert into public.user_sessions (user_id, session_id, platform, device_info)
select md5('user ' || n % 20000)::uuid, format('day-%s-%s', current_setting('bench.day'), n), 'web', '{"os": "iOS 18.1"}'
from generate_series(1, current_setting('bench.starts')::bigint) as n;

-- Twelve heartbeats of each session, in parts, as they come from many clients.
do $$
begin
  for beat in 1 .. 12 loop
    for part in 0 .. 19 loop
      update public.user_sessions as s
      set last_heartbeat_at = now(), last_activity_at = now(), activity_count = s.activity_count + 1
      where s.status = 'active' and hashtext(s.session_id) & 1048575 between part * 52429 and part * 52429 + 52428;
      commit;
    end loop;
  end loop;
end
$$;

update public.user_sessions as s
set status = 'ended', end_reason = 'logout', ended_at = now(), total_duration_seconds = 1200
where s.status = 'active' and hashtext(s.session_id) & 1 = 0;

-- The last sign of life of the others, as it is some hours later.
update public.user_sessions as s
set last_heartbeat_at = now() - interval '5 hours', last_activity_at = now() - interval '5 hours'
where s.status = 'active';
