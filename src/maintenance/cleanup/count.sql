-- How many sessions a cleanup would delete. :cutoff: that of a run; null: the one that a run would have now.
select json_build_object('cutoff', c.cutoff, 'rows', (
  select count(*) from sessctl.ended_session as s where s.ended_at < c.cutoff
))::text
from (select coalesce(:cutoff::timestamptz, sessctl.cleanup_cutoff(:threshold))) as c (cutoff), sessctl.require_table()
