-- One batch of a sweep. $1: cutoff; $3: which; $4: the idle ones too; $5: ended when last seen.
select json_build_object(
  'affected', b.affected, 'skipped', b.skipped, 'transaction', pg_current_xact_id_if_assigned()::text
)::text
from sessctl.end_inactive_batch($1::timestamptz, string_to_array($3, ' ')::tid[], $4, $5) as b
