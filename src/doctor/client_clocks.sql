-- Active sessions that were written over ten minutes after the heartbeat that they hold.
-- Nothing is computed with a time that a client may have put out of range.
-- The line that names the sample is left out where the whole table is counted.
select
from only public.user_sessions as s
where s.status = 'active' and case
  when s.last_heartbeat_at between '2000-01-01' and now() + interval '1 day'
    and s.updated_at between '2000-01-01' and now() + interval '1 day'
  then s.updated_at > s.last_heartbeat_at + interval '10 minutes'
end
  and s.ctid = any (:sample)
