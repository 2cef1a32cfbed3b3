-- What a run leaves that is due: sessions whose rows are locked by others, and sessions that nobody holds and that are due all the
-- same. At most 10,000 of each are counted. prevented_by: what may have kept a statement from them.
create or replace function sessctl.preventing_triggers(event text)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select string_agg(o.name, ', ' order by o.name)
    from (
      -- BEFORE and for each row (3), on DELETE (8) or UPDATE (16).
      select format('trigger %s', t.tgname) as name
      from pg_catalog.pg_trigger as t
      where t.tgrelid = 'public.user_sessions'::regclass and not t.tgisinternal and t.tgenabled in ('O', 'A')
        and t.tgtype & 3 = 3 and t.tgtype & case event when 'delete' then 8 else 16 end > 0
        and t.tgname <> 'update_user_sessions_updated_at'
      union all
      select format('rule %s', w.rulename)
      from pg_catalog.pg_rewrite as w
      where w.ev_class = 'public.user_sessions'::regclass and w.ev_enabled in ('O', 'A')
        and w.ev_type = case event when 'delete' then '4' else '2' end
    ) as o
  );
end
$$;
