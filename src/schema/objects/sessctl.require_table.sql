-- Views follow a table that is renamed. Where another one has its name now, maintenance would work on the old one: it is refused, as
-- is a table of another kind.
create or replace function sessctl.require_table()
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
  kind constant "char" := (select c.relkind from pg_catalog.pg_class as c where c.oid = 'public.user_sessions'::regclass);
  read_instead constant regclass := (
    select d.refobjid::regclass
    from pg_catalog.pg_rewrite as w
    join pg_catalog.pg_depend as d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
    where w.ev_class = 'sessctl.session_last_seen'::regclass
      and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid not in (w.ev_class, 'public.user_sessions'::regclass)
    limit 1
  );
begin
  if kind <> 'r' then
    raise exception 'public.user_sessions is not an ordinary table'
      using errcode = 'wrong_object_type',
        hint = 'sessctl maintains an ordinary table. See docs/large-tables.md for a partitioned one.';
  end if;
  if read_instead is not null then
    raise exception 'the views of sessctl read % instead of public.user_sessions', read_instead
      using errcode = 'object_not_in_prerequisite_state',
        hint = 'The table was renamed, and another one has its name. If that is meant to be, run sessctl migrate --repair.';
  end if;
end
$$;
