-- Sessions that are over. One that a client revived (active or idle again, its old ended_at still there) is not.
create or replace view sessctl.ended_session
with (security_invoker = true) as
select
  s.ctid as row_id,
  s.id,
  s.session_id,
  s.ended_at
from only public.user_sessions as s
where s.ended_at is not null and s.status not in ('active', 'idle');
