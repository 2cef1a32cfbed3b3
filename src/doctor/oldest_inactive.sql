-- For how many seconds the active session that was last seen first has been due: last seen before :minutes. Null: none is.
-- Forged times are left out. The line that names the sample is left out where the whole table is searched.
select (extract(epoch from now() - min(s.last_seen))::bigint - :minutes * 60)::text
from sessctl.session_last_seen as s
where s.status = 'active' and s.last_seen >= '2000-01-01' and s.last_seen < now() - make_interval(mins => :minutes)
  and s.row_id = any (:sample)
