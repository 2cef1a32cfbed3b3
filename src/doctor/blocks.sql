-- How many blocks the table has. No parameters.
select (pg_relation_size('public.user_sessions') / current_setting('block_size')::bigint)::text
