-- The sessions to settle that are stored behind the last one listed.
select json_build_object('rows', array_to_string(d.rows, ' '), 'complete', cardinality(d.rows) < :list_size)::text
from sessctl.settle_due(:list_size, :last_listed) as d (rows)
