-- Names of ours that something else than an index of the table has. No parameters.
select coalesce(json_agg(c.relname order by c.relname), '[]')::text
from pg_catalog.pg_class as c
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
left join pg_catalog.pg_index as i on i.indexrelid = c.oid
left join pg_catalog.pg_class as t on t.oid = i.indrelid
where n.nspname = 'public' and c.relname in (
  'idx_user_sessions_user_id', 'idx_user_sessions_platform', 'idx_user_sessions_status',
  'idx_user_sessions_started_at', 'idx_user_sessions_last_activity', 'idx_user_sessions_active',
  'idx_user_sessions_ended_at'
) and t.relname is distinct from 'user_sessions'
