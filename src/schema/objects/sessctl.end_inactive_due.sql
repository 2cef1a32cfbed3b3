-- The sessions to end, at most max_rows, page by page as they are stored, from the page of row "from_page_of" on. That page
-- comes again, since the rows of one page come in no order; those ended meanwhile do not. No plan is left that has the pages
-- in another order. max_rows: more than fit on a page, or a page of locked rows would come again without end.
-- By the index on the active ones: the cost follows their number, not the size of the table. Only where they are most of
-- the table, it is read from end to end.
create or replace function sessctl.end_inactive_due(
  cutoff timestamptz,
  max_rows integer,
  include_idle boolean default false,
  from_page_of tid default null
)
returns tid[]
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_tidscan = off
set enable_indexscan = off
set synchronize_seqscans = off
set max_parallel_workers_per_gather = 0
set jit = off
set lock_timeout = '1s'
as $$
declare
  from_row constant tid := ('(' || split_part(trim('(' from from_page_of::text), ',', 1) || ',0)')::tid;
begin
  if (
    select i.reltuples > t.reltuples / 2
    from pg_catalog.pg_class as t
    cross join pg_catalog.pg_class as i
    where t.oid = to_regclass('public.user_sessions') and i.oid = to_regclass('public.idx_user_sessions_active')
  ) then
    perform set_config('enable_seqscan', 'on', true), set_config('enable_tidscan', 'on', true);
  end if;
  return array(
    select s.row_id
    from sessctl.session_last_seen as s
    where (s.status = 'active' or include_idle and s.status = 'idle') and s.last_seen < cutoff
      and (from_row is null or s.row_id >= from_row)
    limit max_rows
  );
end
$$;
