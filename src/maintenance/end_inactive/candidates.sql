-- The candidates that are stored behind the last one listed.
select json_build_object('rows', array_to_string(d.rows, ' '), 'complete', cardinality(d.rows) < :list_size)::text
from sessctl.end_inactive_due(:cutoff, :list_size, :include_idle, :last_listed) as d (rows)
