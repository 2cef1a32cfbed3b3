-- How many sessions a cleanup would delete, those included that it would settle first, how many it would settle, and how many there
-- are of both. :cutoff: that of a run; null: the one that a run would have now.
select json_build_object(
  'cutoff', c.cutoff, 'rows', e.rows + u.rows_past, 'settled', u.rows, 'left', e.rows + u.rows
)::text
from (select coalesce(:cutoff::timestamptz, sessctl.cleanup_cutoff(:threshold))) as c (cutoff)
cross join sessctl.require_table()
cross join lateral (select count(*) from sessctl.ended_session as s where s.ended_at < c.cutoff) as e (rows)
cross join lateral (
  select count(*), count(*) filter (where s.last_seen < c.cutoff) from sessctl.ended_last_seen as s where s.is_implausible
) as u (rows, rows_past)
