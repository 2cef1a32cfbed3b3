-- Sessions with times that are infinite, before 2000 or in the future (five minutes are allowed for a clock that is ahead).
-- The line that names the sample is left out where the whole table is counted.
select
from only public.user_sessions as s
where (s.started_at not between '2000-01-01' and now() + interval '5 minutes'
  or s.last_heartbeat_at not between '2000-01-01' and now() + interval '5 minutes'
  or s.last_activity_at not between '2000-01-01' and now() + interval '5 minutes'
  or s.ended_at not between '2000-01-01' and now() + interval '5 minutes')
  and s.ctid = any (:sample)
