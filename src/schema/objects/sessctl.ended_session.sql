-- Sessions that are over, and ended at a time that is plausible: the others are settled first. One that a client revived (active
-- or idle again, its old ended_at still there) is not over.
create or replace view sessctl.ended_session
with (security_invoker = true) as
select
  s.row_id,
  s.id,
  s.session_id,
  s.ended_at,
  s.row_version
from sessctl.ended_last_seen as s
where not s.is_implausible;
