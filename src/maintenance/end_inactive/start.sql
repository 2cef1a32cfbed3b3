-- The cutoff of a sweep by the server's clock, the sessions to settle, and the first candidates. With none of both the run is
-- recorded, and over.
select json_build_object(
  'cutoff', s.cutoff, 'due', cardinality(s.due) > 0, 'skipped', s.is_skipped,
  'unsettled', json_build_object(
    'rows', array_to_string(s.unsettled, ' '), 'complete', cardinality(s.unsettled) < :list_size),
  'candidates', json_build_object('rows', array_to_string(s.due, ' '), 'complete', cardinality(s.due) < :list_size)
)::text
from (
  select l.*, l.is_idle and not sessctl.run_idle(:run, :job, :source, l.cutoff, :threshold, :generation, :include_idle)
  from (
    select d.*, cardinality(d.due) + cardinality(d.unsettled) = 0
    from (
      select c.cutoff, sessctl.end_inactive_due(c.cutoff, :list_size, :include_idle), sessctl.settle_due(:list_size)
      from sessctl.end_inactive_cutoff(:threshold) as c (cutoff)
      -- Not to be computed twice.
      offset 0
    ) as d (cutoff, due, unsettled)
  ) as l (cutoff, due, unsettled, is_idle)
  offset 0
) as s (cutoff, due, unsettled, is_idle, is_skipped)
