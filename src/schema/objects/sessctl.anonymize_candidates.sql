-- The sessions of anonymize's next slice, in the order of sessctl.cleanup_slice. "position": null at the beginning of a scan.
-- from_time, to_time: where the slice is one of time.
create or replace function sessctl.anonymize_candidates(
  cutoff timestamptz,
  max_rows integer,
  "position" text,
  removes text[],
  out "rows" tid[],
  out next_position text,
  out from_time timestamptz,
  out to_time timestamptz
)
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
declare
  slice record;
begin
  "position" := coalesce("position", nullif(sessctl.anonymize_from(removes), '-infinity')::text);
  slice := sessctl.cleanup_slice(cutoff, max_rows, "position");
  if slice.from_row is not null and "position" not like '(%' then
    -- Many ended at one moment, as a sweep does it. A larger slice is less than the whole table, block by block.
    slice := sessctl.cleanup_slice(cutoff, greatest(max_rows, 25000), "position");
  end if;
  next_position := slice.next_position;
  from_time := slice.from_time;
  to_time := slice.to_time;
  if slice.from_row is null then
    "rows" := array(
      select s.row_id
      from sessctl.ended_personal as s
      where s.ended_at >= slice.from_time and s.ended_at < slice.to_time and not s.is_implausible and s.personal && removes
    );
  else
    "rows" := array(
      select s.row_id
      from sessctl.ended_personal as s
      where s.row_id >= slice.from_row and s.row_id < slice.to_row and s.ended_at < cutoff
        and not s.is_implausible and s.personal && removes
    );
  end if;
end
$$;
