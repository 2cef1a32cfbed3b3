-- The next sessions past retention in the order they are stored, by a range of blocks. from_row: where the last range ended.
-- next_row: where this one ends; null: it is the end of the table.
create or replace function sessctl.cleanup_block_range(
  cutoff timestamptz,
  from_row tid,
  max_rows integer,
  out next_row tid,
  out affected integer
)
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
set lock_timeout = '1s'
as $$
declare
  rows_a_page double precision;
  next_page bigint;
begin
  select greatest(coalesce(c.reltuples / nullif(c.relpages, 0), 50), 1) into rows_a_page
  from pg_catalog.pg_class as c
  where c.oid = 'public.user_sessions'::regclass;
  next_page := split_part(trim('(' from from_row::text), ',', 1)::bigint
    + greatest(1, ceil(max_rows / rows_a_page))::bigint;
  select s.row_id into next_row
  from sessctl.ended_session as s
  where s.row_id >= from_row and s.row_id < format('(%s,0)', next_page)::tid and s.ended_at < cutoff
  offset max_rows
  limit 1;
  -- The rows come as they are stored; should they ever not, the batch is larger, and nothing is left out.
  if not found or next_row <= from_row then
    next_row := format('(%s,0)', next_page)::tid;
  end if;
  begin
    perform set_config('lock_timeout', '50ms', true);
    delete from sessctl.ended_session as s
    where s.row_id >= from_row and s.row_id < next_row and s.ended_at < cutoff;
    get diagnostics affected = row_count;
  exception
    when lock_not_available then
      delete from sessctl.ended_session as s
      where s.row_id = any (array(
        select t.row_id
        from sessctl.ended_session as t
        where t.row_id >= from_row and t.row_id < next_row and t.ended_at < cutoff
        for update skip locked
      ));
      get diagnostics affected = row_count;
  end;
  if next_row = format('(%s,0)', next_page)::tid
    and next_page >= pg_relation_size('public.user_sessions') / current_setting('block_size')::bigint
  then
    next_row := null;
  end if;
end
$$;
