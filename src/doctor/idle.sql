-- Idle sessions that a sweep with --include-idle would have ended: last seen before :minutes and :slack seconds.
-- The line that names the sample is left out where the whole table is counted.
select
from sessctl.session_last_seen as s
where s.status = 'idle' and s.last_seen < now() - make_interval(mins => :minutes, secs => :slack)
  and s.row_id = any (:sample)
