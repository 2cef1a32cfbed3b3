-- The cutoff of a sweep by the server's clock, and its first candidates. With none the run is recorded, and over.
select json_build_object(
  'cutoff', s.cutoff, 'due', cardinality(s.due) > 0,
  'skipped', cardinality(s.due) = 0 and not sessctl.run_idle(:run, :job, :source, s.cutoff, :threshold, :generation),
  'candidates', json_build_object('rows', array_to_string(s.due, ' '), 'complete', cardinality(s.due) < :list_size)
)::text
from (
  select c.cutoff, sessctl.end_inactive_due(c.cutoff, :list_size, :include_idle)
  from sessctl.end_inactive_cutoff(:threshold) as c (cutoff)
  -- Not to be computed twice.
  offset 0
) as s (cutoff, due)
