-- How many sessions a sweep would end. :cutoff: that of a run; null: the one that a run would have now.
select json_build_object('cutoff', c.cutoff, 'rows', (
  select count(*)
  from sessctl.session_last_seen as s
  where s.last_seen < c.cutoff and (s.status = 'active' or :include_idle and s.status = 'idle')
))::text
from (select coalesce(:cutoff::timestamptz, sessctl.end_inactive_cutoff(:threshold))) as c (cutoff), sessctl.require_table()
