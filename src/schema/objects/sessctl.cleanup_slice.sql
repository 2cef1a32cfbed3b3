-- The bounds of a cleanup's next slice, of about max_rows sessions past retention. "position": null at first, then next_position
-- of the slice before; null: nothing is left behind this slice.
-- In the order they ended, by the index (from_time up to to_time): right for a sliver, and for a table stored in that order.
-- In the order they are stored, by ranges of blocks (from_row up to to_row; the position is a row then): right where a good part
-- of a shuffled heap goes, and where more than max_rows sessions ended at one moment (a sweep does that).
-- Sessions that are not settled count too: a slice may be smaller than it looks, and the index on ended_at alone has its bounds.
create or replace function sessctl.cleanup_slice(
  cutoff timestamptz,
  max_rows integer,
  "position" text,
  out from_time timestamptz,
  out to_time timestamptz,
  out from_row tid,
  out to_row tid,
  out next_position text
)
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
set lock_timeout = '1s'
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
declare
  next_time timestamptz;
  rows_a_page double precision;
  next_page bigint;
begin
  if "position" is null and sessctl.has_many_dead_entries() then
    "position" := '(0,0)';
  elsif "position" is null or "position" not like '(%' then
    from_time := coalesce("position", '-infinity')::timestamptz;
    select s.ended_at into next_time
    from only public.user_sessions as s
    where s.ended_at >= from_time and s.ended_at < cutoff and s.status not in ('active', 'idle')
    order by s.ended_at
    offset max_rows
    limit 1;
    if next_time is null or next_time > from_time
      and not ("position" is null and sessctl.cleanup_prefers_blocks(cutoff))
    then
      to_time := coalesce(next_time, cutoff);
      next_position := next_time::text;
      return;
    end if;
    from_time := null;
    "position" := '(0,0)';
  end if;

  select greatest(coalesce(c.reltuples / nullif(c.relpages, 0), 50), 1) into rows_a_page
  from pg_catalog.pg_class as c
  where c.oid = 'public.user_sessions'::regclass;
  from_row := "position"::tid;
  next_page := split_part(trim('(' from "position"), ',', 1)::bigint + greatest(1, ceil(max_rows / rows_a_page))::bigint;
  select s.ctid into to_row
  from only public.user_sessions as s
  where s.ctid >= from_row and s.ctid < format('(%s,0)', next_page)::tid
    and s.ended_at < cutoff and s.status not in ('active', 'idle')
  offset max_rows
  limit 1;
  -- The rows come as they are stored; should they ever not, the slice is larger, and nothing is left out.
  if not found or to_row <= from_row then
    to_row := format('(%s,0)', next_page)::tid;
    if next_page >= pg_relation_size('public.user_sessions') / current_setting('block_size')::bigint then
      return;
    end if;
  end if;
  next_position := to_row::text;
end
$$;
