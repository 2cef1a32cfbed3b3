-- The sessions to end that are stored behind those listed before.
-- $1: cutoff; $2: the last one listed; $3: the idle ones too; $5: how many a list may have.
select json_build_object('rows', array_to_string(d.rows, ' '), 'complete', cardinality(d.rows) < $5)::text
from sessctl.end_inactive_due($1::timestamptz, $5, $3, $2::tid) as d (rows)
