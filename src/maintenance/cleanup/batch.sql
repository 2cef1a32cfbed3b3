-- One batch of a cleanup. $1: cutoff; $2: most rows; $3: position.
select json_build_object(
  'position', b."position", 'affected', b.affected, 'finished', b.finished, 'skipped', b.skipped,
  'transaction', pg_current_xact_id_if_assigned()::text
)::text
from sessctl.cleanup_batch($1::timestamptz, $2, $3) as b
