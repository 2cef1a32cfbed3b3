-- Sessions that are ended, with a heartbeat over a minute after their end. No parameters.
-- Nothing is computed with a time that a client may have put out of range.
select count(*)
from public.user_sessions as s
where s.status not in ('active', 'idle') and case
  when s.last_heartbeat_at between '2000-01-01' and now() + interval '1 day'
    and s.ended_at between '2000-01-01' and now() + interval '1 day'
  then s.last_heartbeat_at > s.ended_at + interval '1 minute'
end
