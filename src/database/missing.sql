-- Whether public.user_sessions exists, which other schemas have a table of its name, and whether there is a history of migrations.
-- No parameters.
select json_build_object(
  'exists', exists (
    select
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'public' and c.relname = 'user_sessions'
  ),
  'elsewhere', (
    select coalesce(json_agg(quote_ident(n.nspname) order by n.nspname), '[]')
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where c.relname = 'user_sessions' and c.relkind in ('r', 'p') and n.nspname <> 'public' and n.nspname not like 'pg\_%'
  ),
  'has_history', exists (
    select
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'sessctl' and c.relname = 'schema_history'
  )
)::text
