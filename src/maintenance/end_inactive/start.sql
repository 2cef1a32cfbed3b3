-- The cutoff of a sweep by the server's clock, and its first candidates. With none the run is recorded, and over.
select json_build_object(
  'cutoff', s.cutoff, 'due', cardinality(s.due) > 0, 'skipped', s.skipped,
  'candidates', json_build_object('rows', array_to_string(s.due, ' '), 'complete', cardinality(s.due) < :list_size)
)::text
from sessctl.end_inactive_start(:run, :source, :threshold, :list_size, :include_idle) as s
