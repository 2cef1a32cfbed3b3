-- How transactions ended whose outcome the client did not see, or may have lost with an unflushed commit. $1: their ids.
-- An id that the server has not reached was lost in a crash.
select coalesce(json_object_agg(
  t.id,
  case
    when t.id::xid8 >= pg_snapshot_xmax(pg_current_snapshot()) then 'aborted'
    else coalesce(pg_xact_status(t.id::xid8), 'committed')
  end
), '{}')::text
from unnest($1) as t (id)
