-- The cutoff of a cleanup by the server's clock, and whether a session is past retention. With none the run is recorded, and
-- over.
select json_build_object('cutoff', s.cutoff, 'due', s.is_due, 'skipped', s.skipped)::text
from sessctl.cleanup_start(:run, :source, :threshold) as s
