-- How many sessions a sweep would end, how many it would settle, and how many there are of both. :cutoff: that of a run; null: the
-- one that a run would have now.
select json_build_object(
  'cutoff', c.cutoff, 'rows', i.rows, 'settled', u.rows, 'left', i.rows + u.rows
)::text
from (select coalesce(:cutoff::timestamptz, sessctl.end_inactive_cutoff(:threshold))) as c (cutoff)
cross join sessctl.require_table()
cross join lateral (
  select count(*)
  from sessctl.session_last_seen as s
  where s.last_seen < c.cutoff and (s.status = 'active' or :include_idle and s.status = 'idle')
) as i (rows)
cross join lateral (select count(*) from sessctl.ended_last_seen as s where s.is_implausible) as u (rows)
