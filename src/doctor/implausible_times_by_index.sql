-- Those of the sessions with implausible times that an index finds: of each column that has one, at most 1,001.
(select s.ctid from only public.user_sessions as s where s.started_at < '2000-01-01' limit 1001)
union
(select s.ctid from only public.user_sessions as s where s.started_at > now() + interval '5 minutes' limit 1001)
union
(select s.ctid from only public.user_sessions as s where s.last_activity_at < '2000-01-01' limit 1001)
union
(select s.ctid from only public.user_sessions as s where s.last_activity_at > now() + interval '5 minutes' limit 1001)
union
(
  select s.ctid
  from only public.user_sessions as s
  where s.ended_at is not null and s.status not in ('active', 'idle') and s.ended_at < '2000-01-01'
  limit 1001
)
union
(
  select s.ctid
  from only public.user_sessions as s
  where s.ended_at is not null and s.status not in ('active', 'idle') and s.ended_at > now() + interval '5 minutes'
  limit 1001
)
