-- The server's version, and whether it takes writes. No parameters.
select json_build_object(
  'version', current_setting('server_version'),
  'version_num', current_setting('server_version_num')::integer,
  'is_replica', pg_is_in_recovery(),
  'read_only', current_setting('default_transaction_read_only')::boolean
)::text
