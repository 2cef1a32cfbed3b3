-- The constraints and indexes of the table, and what is declared of it: null where migrate has not applied a declaration, or this role can't
-- read it. No parameters.
select json_build_object(
  'exists', sessions.oid is not null,
  'constraints', (
    select coalesce(json_object_agg(c.conname, json_build_object(
      'definition', regexp_replace(pg_catalog.pg_get_constraintdef(c.oid), ' NOT VALID$', ''),
      'validated', c.convalidated,
      'column', (
        select a.attname from pg_catalog.pg_attribute as a where a.attrelid = c.conrelid and c.conkey = array[a.attnum]
      )
    )), '{}')
    from pg_catalog.pg_constraint as c
    -- Of one that is dropped meanwhile the server says nothing.
    where c.conrelid = sessions.oid and pg_catalog.pg_get_constraintdef(c.oid) is not null
  ),
  'indexes', (
    select coalesce(json_object_agg(c.relname, i.indisvalid and i.indisready), '{}')
    from pg_catalog.pg_index as i
    join pg_catalog.pg_class as c on c.oid = i.indexrelid
    where i.indrelid = sessions.oid
  ),
  -- The table may be absent, and a statement that names it would fail then: it stands in a text, as does its answer.
  'declared', case when exists (
    select from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'sessctl' and c.relname = 'declared' and c.relkind = 'r'
      and has_table_privilege(c.oid, 'SELECT') and has_schema_privilege(n.oid, 'USAGE')
  ) then
    convert_from(decode(substring(query_to_xml(
      'select encode(convert_to(coalesce(json_object_agg(d.row ->> ''key'', d.row -> ''list''), ''{}'')::text, ''UTF8''), ''hex'') as x
       from (select to_jsonb(d) as row from sessctl.declared as d) as d
       where d.row ->> ''key'' is not null and jsonb_typeof(d.row -> ''list'') = ''array'' and not d.row -> ''list'' @> ''null''',
      false, false, '')::text from '<x>([0-9a-f]*)</x>'), 'hex'), 'UTF8')::json
  end
)::text
from (select pg_catalog.to_regclass('public.user_sessions') as oid) as sessions
