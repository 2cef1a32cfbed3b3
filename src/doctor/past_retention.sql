-- Sessions that ended over 90 days ago. No parameters.
select count(*)
from public.user_sessions as s
where s.ended_at < now() - interval '90 days' and s.status not in ('active', 'idle')
