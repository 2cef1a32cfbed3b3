-- The TLS of this connection, as the server sees it; null where it does not know. No parameters.
select json_build_object('version', (select s.version from pg_catalog.pg_stat_ssl as s where s.pid = pg_backend_pid()))::text
