-- The cutoff of a cleanup by the server's clock, the sessions to settle, and whether a session is past retention. With none of both
-- the run is recorded, and over.
select json_build_object(
  'cutoff', s.cutoff, 'due', s.due,
  'last_threshold', case when s.due or cardinality(s.unsettled) > 0 then sessctl.last_threshold(:job) end,
  'skipped', not s.due and cardinality(s.unsettled) = 0
    and not sessctl.run_idle(:run, :job, :source, s.cutoff, :threshold, :generation, null, :archives),
  'unsettled', json_build_object(
    'rows', array_to_string(s.unsettled, ' '), 'complete', cardinality(s.unsettled) < :list_size)
)::text
from (
  select c.cutoff, sessctl.cleanup_is_due(c.cutoff), sessctl.settle_due(:list_size)
  from sessctl.cleanup_cutoff(:threshold) as c (cutoff)
  -- Not to be computed twice.
  offset 0
) as s (cutoff, due, unsettled)
-- A run that finds nothing to do is refused as it is recorded.
where :archives or not s.due and cardinality(s.unsettled) = 0 or sessctl.require_archive() is not null
