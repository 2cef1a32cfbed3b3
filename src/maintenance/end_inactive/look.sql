-- The cutoff of a sweep by the server's clock, and the first sessions to end.
-- $1: minutes; $2: the idle ones too; $4: how many a list may have.
select json_build_object(
  'cutoff', c.cutoff,
  'due', cardinality(d.rows) > 0,
  'list', json_build_object('rows', array_to_string(d.rows, ' '), 'complete', cardinality(d.rows) < $4)
)::text
from sessctl.end_inactive_cutoff($1) as c (cutoff)
cross join lateral sessctl.end_inactive_due(c.cutoff, $4, $2) as d (rows)
