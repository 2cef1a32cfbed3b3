-- A condition on a session s that a foreign key without a delete action keeps: a row of the other table refers to it. Null where
-- there is no such key, or none that this role can look at. A key that refers to a column that s lacks meets its row in the table.
create or replace function sessctl.kept_by_reference()
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select string_agg(
      format(
        'exists (select from %s %s as c%s where %s)',
        case t.relkind when 'p' then '' else 'only' end,
        f.conrelid::regclass,
        case k.is_of_s when false then ' join only public.user_sessions as p on p.id = s.id' end,
        k.condition
      ),
      ' or '
    )
    from pg_catalog.pg_constraint as f
    join pg_catalog.pg_class as t on t.oid = f.conrelid
    cross join lateral (
      select
        bool_and(parent.attname in ('id', 'session_id')) as is_of_s,
        string_agg(
          format('c.%I = %s.%I', child.attname, case when parent.attname in ('id', 'session_id') then 's' else 'p' end, parent.attname),
          ' and '
        ) as condition
      from unnest(f.conkey, f.confkey) as pair (child, parent)
      join pg_catalog.pg_attribute as child on child.attrelid = f.conrelid and child.attnum = pair.child
      join pg_catalog.pg_attribute as parent on parent.attrelid = f.confrelid and parent.attnum = pair.parent
    ) as k
    where f.contype = 'f' and f.confrelid = 'public.user_sessions'::regclass and f.conparentid = 0
      and f.confdeltype in ('a', 'r')
      and has_table_privilege(f.conrelid, 'select') and not row_security_active(f.conrelid)
  );
end
$$;
