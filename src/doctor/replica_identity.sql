-- Published tables that a sweep or a cleanup changes (the table, and those whose rows a foreign key deletes or changes with it),
-- and whether they have a replica identity; null where none is published. No parameters.
select json_agg(json_build_object(
  'table', c.oid::regclass,
  'publications', p.names,
  'has_identity', case c.relreplident
    when 'f' then true
    when 'd' then exists (select from pg_catalog.pg_index as i where i.indrelid = c.oid and i.indisprimary)
    when 'i' then exists (select from pg_catalog.pg_index as i where i.indrelid = c.oid and i.indisreplident)
    else false
  end
) order by c.oid::regclass::text)::text
from pg_catalog.pg_class as c
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
cross join lateral (
  select string_agg(distinct t.pubname, ', ') as names
  from pg_catalog.pg_publication_tables as t
  join pg_catalog.pg_publication as u on u.pubname = t.pubname
  where t.schemaname = n.nspname and t.tablename = c.relname and (u.pubupdate or u.pubdelete)
) as p
where p.names is not null and ((n.nspname, c.relname) = ('public', 'user_sessions') or exists (
  select
  from pg_catalog.pg_constraint as k
  join pg_catalog.pg_class as s on s.oid = k.confrelid
  join pg_catalog.pg_namespace as m on m.oid = s.relnamespace
  where k.conrelid = c.oid and k.contype = 'f' and k.confdeltype in ('c', 'n', 'd')
    and (m.nspname, s.relname) = ('public', 'user_sessions')
))
