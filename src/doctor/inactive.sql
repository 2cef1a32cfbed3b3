-- Active sessions that were last seen over an hour ago. No parameters.
select count(*)
from sessctl.session_last_seen as s
where s.status = 'active' and s.last_seen < now() - interval '1 hour'
