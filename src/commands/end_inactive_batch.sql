-- One batch of a sweep. $1: cutoff; $2: most rows; $3: position; $4: the idle ones too; $5: ended when last seen.
select json_build_object(
  'position', b."position", 'affected', b.affected, 'finished', b.finished, 'skipped', b.skipped,
  'transaction', pg_current_xact_id_if_assigned()::text
)::text
from sessctl.end_inactive_batch($1::timestamptz, $2, $3, $4, $5) as b
