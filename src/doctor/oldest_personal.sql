-- For how many seconds the session that ended first after anonymize's resume point has been past :days. Null: none is. Forged times
-- are left out.
select (
  select extract(epoch from now() - s.ended_at)::bigint - :days * 86400
  from sessctl.ended_session as s
  where s.ended_at >= greatest('2000-01-01', (select j.resume_at from sessctl.job as j where j.name = 'anonymize'))
    and s.ended_at < now() - make_interval(hours => :days * 24)
  order by s.ended_at
  limit 1
)::text
