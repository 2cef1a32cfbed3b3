-- How many sessions a cleanup would delete. $1: cutoff.
select to_json(count(*))::text
from sessctl.ended_session as s
where s.ended_at < $1::timestamptz
