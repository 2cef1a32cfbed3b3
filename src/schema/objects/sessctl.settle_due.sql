-- The sessions to settle, at most max_rows: listed as sessctl.end_inactive_due lists its own, and found by indexes alone, so that
-- the cost follows their number. max_rows: more than fit on a page.
-- Nearly always there is none. The indexes alone say so where none holds what may be implausible, and the query of the view need
-- not be planned, which takes longer than all else in a run without work.
create or replace function sessctl.settle_due(max_rows integer, from_page_of tid default null)
returns tid[]
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_tidscan = off
set enable_indexscan = off
set max_parallel_workers_per_gather = 0
set jit = off
set lock_timeout = '1s'
as $$
declare
  from_row constant tid := ('(' || split_part(trim('(' from from_page_of::text), ',', 1) || ',0)')::tid;
begin
  if not (
    exists (
      select from only public.user_sessions as s
      where s.status in ('ended', 'timeout') and (s.ended_at is null or s.ended_at < s.started_at)
    )
    or exists (
      select from only public.user_sessions as s
      where s.status in ('ended', 'timeout') and (s.ended_at = '-infinity' or s.ended_at > now())
    )
  ) then
    return '{}'::tid[];
  end if;
  return array(
    select s.row_id
    from sessctl.ended_last_seen as s
    where s.is_implausible and (from_row is null or s.row_id >= from_row)
    limit max_rows
  );
end
$$;
