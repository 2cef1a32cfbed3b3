-- How many sessions a sweep would end. $1: cutoff; $2: the idle ones too.
select to_json(count(*))::text
from sessctl.session_last_seen as s
where s.last_seen < $1::timestamptz and (s.status = 'active' or $2 and s.status = 'idle')
