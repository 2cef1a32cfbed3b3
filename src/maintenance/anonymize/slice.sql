-- The sessions of a slice whose batch failed, and where the next slice begins.
select json_build_object('rows', array_to_string(c.rows, ' '), 'next_position', c.next_position)::text
from sessctl.anonymize_candidates(:cutoff, :max_rows, :position, sessctl.anonymize_removes(:ip, :keep)) as c
