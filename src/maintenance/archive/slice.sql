-- The sessions of the next slice to archive, and where the one behind it begins.
select json_build_object('candidates', coalesce(a.candidates, ''), 'next_position', a.next_position)::text
from sessctl.archive_slice(:cutoff, :max_rows, :position) as a
