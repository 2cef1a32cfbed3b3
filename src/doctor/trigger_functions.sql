-- Functions of triggers on the table that find unqualified names by the caller's search_path. No parameters. Those in C, such as
-- moddatetime, look for nothing. sessctl's transactions have a search_path without public, as its functions do.
select coalesce(json_agg(json_build_object(
  'trigger', quote_ident(t.tgname),
  'function', format('%I.%I', n.nspname, p.proname)
) order by t.tgname), '[]')::text
from pg_catalog.pg_trigger as t
join pg_catalog.pg_class as c on c.oid = t.tgrelid
join pg_catalog.pg_namespace as s on s.oid = c.relnamespace
join pg_catalog.pg_proc as p on p.oid = t.tgfoid
join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
join pg_catalog.pg_language as l on l.oid = p.prolang
where s.nspname = 'public' and c.relname = 'user_sessions' and not t.tgisinternal and t.tgenabled <> 'D'
  and l.lanname not in ('c', 'internal')
  and not exists (select from unnest(p.proconfig) as setting where setting like 'search\_path=%')
