-- Rows of the table that are dead, and those that live, as the statistics have them. No parameters.
select json_build_object('dead', coalesce(sum(t.n_dead_tup), 0), 'live', coalesce(sum(t.n_live_tup), 0))::text
from pg_catalog.pg_stat_user_tables as t
where t.schemaname = 'public' and t.relname = 'user_sessions'
