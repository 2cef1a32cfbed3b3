-- How many sessions are past retention, by the month in which they ended, the oldest first.
select coalesce(json_agg(m.rows order by m.month), '[]')::text
from (
  select date_trunc('month', greatest(s.ended_at, '1999-12-01 00:00:00+00'), 'UTC'), count(*)
  from sessctl.ended_session as s
  where s.ended_at < :cutoff
  group by 1
) as m (month, rows)
