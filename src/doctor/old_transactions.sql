-- The oldest transaction whose snapshot keeps vacuum from removing rows, but for this one. No parameters.
select coalesce((
  select json_build_object('pid', a.pid, 'seconds', extract(epoch from now() - a.xact_start)::bigint, 'state', a.state)
  from pg_catalog.pg_stat_activity as a
  where a.datname = current_database() and a.backend_xmin is not null and a.pid <> pg_backend_pid()
  order by a.xact_start
  limit 1
), 'null')::text
