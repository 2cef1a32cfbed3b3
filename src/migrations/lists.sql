-- The constraints of the table, and what is declared of it: null where migrate has not applied a declaration, or this role can't
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
    where c.conrelid = sessions.oid
  ),
  -- The table may be absent, and a statement that names it would fail then: it stands in a text, as does its answer.
  'declared', case when has_table_privilege(pg_catalog.to_regclass('sessctl.declared'), 'SELECT') then
    convert_from(decode(substring(query_to_xml(
      'select encode(convert_to(coalesce(json_object_agg(d.key, d.list), ''{}'')::text, ''UTF8''), ''hex'') as x from sessctl.declared as d',
      false, false, '')::text from '<x>([0-9a-f]*)</x>'), 'hex'), 'UTF8')::json
  end
)::text
from (select pg_catalog.to_regclass('public.user_sessions') as oid) as sessions
