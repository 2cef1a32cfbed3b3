-- Sessions that are ended, with a heartbeat over a minute after their end.
-- Nothing is computed with a time that a client may have put out of range.
-- The line that names the sample is left out where the whole table is counted.
select
from only public.user_sessions as s
where s.status not in ('active', 'idle') and case
  when s.last_heartbeat_at between '2000-01-01' and now() + interval '1 day'
    and s.ended_at between '2000-01-01' and now() + interval '1 day'
  then s.last_heartbeat_at > s.ended_at + interval '1 minute'
end
  and s.ctid = any (:sample)
