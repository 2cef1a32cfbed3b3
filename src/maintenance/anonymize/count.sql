-- How many sessions a run of anonymize would do, those included that it would settle first, how many it would settle, and how many
-- there are of both. :cutoff: that of a run; null: the one that a run would have now.
select json_build_object(
  'cutoff', c.cutoff, 'rows', e.rows + u.rows_due, 'settled', u.rows, 'left', e.rows + u.rows
)::text
from (select coalesce(:cutoff::timestamptz, sessctl.cleanup_cutoff(:threshold))) as c (cutoff)
cross join sessctl.require_table()
cross join sessctl.anonymize_removes(:ip, :keep) as r (removes)
cross join sessctl.anonymize_from(r.removes) as f (from_time)
cross join lateral (
  select count(*)
  from sessctl.ended_personal as s
  where s.ended_at >= f.from_time and s.ended_at < c.cutoff and not s.is_implausible and s.personal && r.removes
) as e (rows)
cross join lateral (
  select count(*), count(*) filter (where s.last_seen >= f.from_time and s.last_seen < c.cutoff and s.personal && r.removes)
  from sessctl.ended_personal as s
  where s.is_implausible
) as u (rows, rows_due)
