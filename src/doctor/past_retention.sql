-- Sessions that cleanup should have deleted: ended before :days and :slack seconds.
-- The line that names the sample is left out where the whole table is counted.
select
from sessctl.ended_session as s
where s.ended_at < now() - make_interval(hours => :days * 24, secs => :slack)
  and s.row_id = any (:sample)
