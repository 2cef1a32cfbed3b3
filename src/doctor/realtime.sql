-- The publications that the table is in. No parameters.
select coalesce(json_agg(distinct p.pubname), '[]')::text
from pg_catalog.pg_publication_tables as p
where p.schemaname = 'public' and p.tablename = 'user_sessions'
