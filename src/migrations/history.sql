-- The server's version, and the migrations applied to this database: null where none ever was.
-- No parameters. The table may be absent, and a statement that names it would fail then: it stands in a text, as does its answer.
select json_build_object(
  'server_version', current_setting('server_version_num')::integer,
  'history', case when exists (
    select from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'sessctl' and c.relname = 'schema_history' and c.relkind = 'r'
  ) then
    convert_from(decode(substring(query_to_xml(
      'select encode(convert_to(coalesce(json_agg(h order by h.version), ''[]'')::text, ''UTF8''), ''hex'') as x from sessctl.schema_history as h',
      false, false, '')::text from '<x>([0-9a-f]*)</x>'), 'hex'), 'UTF8')::json
  end
)::text
