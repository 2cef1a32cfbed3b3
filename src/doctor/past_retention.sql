-- Sessions that ended over 90 days ago. No parameters.
select count(*)
from sessctl.ended_session as s
where s.ended_at < now() - interval '90 days'
