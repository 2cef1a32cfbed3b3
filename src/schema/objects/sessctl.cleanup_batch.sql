-- One batch of a cleanup: deletes up to max_rows sessions that ended before the cutoff.
-- "position": null at first, then what the batch before gave back. skipped: another run is at work.
-- Two ways through the rows. In the order they ended, by the index: right for a sliver, and for a table stored in that
-- order. In the order they are stored, by ranges of blocks: right where a good part goes and the heap is shuffled, and
-- where more than max_rows sessions ended at one moment (a sweep does that).
-- The head names each setting that the body changes: only then does the change end with the function.
create or replace function sessctl.cleanup_batch(
  cutoff timestamptz,
  max_rows integer,
  inout "position" text default null,
  out affected integer,
  out finished boolean,
  out skipped boolean
)
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_indexscan = on
set jit = off
set lock_timeout = '1s'
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
declare
  pages bigint;
  by_blocks boolean := false;
  rows_a_page double precision;
  from_time timestamptz;
  to_time timestamptz;
  from_row tid;
  to_row tid;
  next_page bigint;
begin
  perform sessctl.require_all_rows();
  affected := 0;
  finished := false;
  skipped := not pg_try_advisory_xact_lock(1936028531, 3);
  if skipped then
    return;
  end if;

  if "position" is null or "position" not like '(%' then
    from_time := coalesce("position", '-infinity')::timestamptz;
    select s.ended_at into to_time
    from sessctl.ended_session as s
    where s.ended_at >= from_time and s.ended_at < cutoff
    order by s.ended_at
    offset max_rows
    limit 1;
    if "position" is null and to_time is not null and (
      select abs(s.correlation) < 0.9
      from pg_catalog.pg_stats as s
      where s.schemaname = 'public' and s.tablename = 'user_sessions' and s.attname = 'ended_at'
    ) then
      pages := pg_relation_size('public.user_sessions') / current_setting('block_size')::bigint;
      by_blocks := pages = (
        select count(*) from (
          select from sessctl.ended_session as s where s.ended_at < cutoff limit pages
        ) as a_row_a_page
      );
    end if;
    if to_time is distinct from from_time and not by_blocks then
      begin
        -- Page by page rather than entry by entry: a tenth less work.
        perform set_config('lock_timeout', '50ms', true), set_config('enable_indexscan', 'off', true);
        delete from sessctl.ended_session as s
        where s.ended_at >= from_time and s.ended_at < coalesce(to_time, cutoff);
        get diagnostics affected = row_count;
      exception
        when lock_not_available then
          -- Who holds rows must neither stop the others nor have them wait: they are left for the next run.
          delete from sessctl.ended_session as s
          where s.row_id = any (array(
            select t.row_id
            from sessctl.ended_session as t
            where t.ended_at >= from_time and t.ended_at < coalesce(to_time, cutoff)
            for update skip locked
          ));
          get diagnostics affected = row_count;
      end;
      finished := to_time is null;
      "position" := to_time::text;
      return;
    end if;
    -- More than a slice at one moment, or a shuffled heap of which a good part goes.
    "position" := '(0,0)';
  end if;

  select greatest(coalesce(c.reltuples / nullif(c.relpages, 0), 50), 1) into rows_a_page
  from pg_catalog.pg_class as c
  where c.oid = 'public.user_sessions'::regclass;
  from_row := "position"::tid;
  next_page := split_part(trim('(' from "position"), ',', 1)::bigint
    + greatest(1, ceil(max_rows / rows_a_page))::bigint;
  to_row := format('(%s,0)', next_page)::tid;
  select s.row_id into to_row
  from sessctl.ended_session as s
  where s.row_id >= from_row and s.row_id < to_row and s.ended_at < cutoff
  offset max_rows
  limit 1;
  -- The rows come as they are stored; should they ever not, the batch is larger, and nothing is left out.
  if not found or to_row <= from_row then
    to_row := format('(%s,0)', next_page)::tid;
  end if;
  begin
    perform set_config('lock_timeout', '50ms', true);
    delete from sessctl.ended_session as s
    where s.row_id >= from_row and s.row_id < to_row and s.ended_at < cutoff;
    get diagnostics affected = row_count;
  exception
    when lock_not_available then
      delete from sessctl.ended_session as s
      where s.row_id = any (array(
        select t.row_id
        from sessctl.ended_session as t
        where t.row_id >= from_row and t.row_id < to_row and t.ended_at < cutoff
        for update skip locked
      ));
      get diagnostics affected = row_count;
  end;
  pages := pg_relation_size('public.user_sessions') / current_setting('block_size')::bigint;
  finished := next_page >= pages and to_row = format('(%s,0)', next_page)::tid;
  "position" := to_row::text;
end
$$;
