-- Sessions that anonymize should have done: ended before :days, after its resume point, and with something of :removes.
-- The line that names the sample is left out where the whole table is counted.
select
from sessctl.ended_personal as s
where s.ended_at >= coalesce((select j.resume_at from sessctl.job as j where j.name = 'anonymize'), '-infinity')
  and s.ended_at < now() - make_interval(hours => :days * 24) and not s.is_implausible and s.personal && :removes::text[]
  and s.row_id = any (:sample)
