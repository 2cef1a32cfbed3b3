-- The cutoff of a cleanup by the server's clock, and whether a session is past retention. With none the run is recorded, and
-- over.
select json_build_object(
  'cutoff', s.cutoff, 'due', s.due,
  'skipped', not s.due and not sessctl.run_idle(:run, :job, :source, s.cutoff, :threshold, :generation)
)::text
from (
  select c.cutoff, sessctl.cleanup_is_due(c.cutoff)
  from sessctl.cleanup_cutoff(:threshold) as c (cutoff)
  -- Not to be computed twice.
  offset 0
) as s (cutoff, due)
