-- Ended sessions with an implausible ended_at that a run should have settled: last seen :slack seconds ago. 0: all of them.
-- The line that names the sample is left out where the whole table is counted.
select
from sessctl.ended_last_seen as s
where s.is_implausible and (:slack = 0 or s.last_seen < now() - make_interval(secs => :slack))
  and s.row_id = any (:sample)
