-- The sessions of a cleanup's next slice, where a batch of it failed and must be divided, and where the slice behind it begins.
create or replace function sessctl.cleanup_candidates(
  cutoff timestamptz,
  max_rows integer,
  "position" text,
  out "rows" tid[],
  out next_position text
)
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
as $$
declare
  slice record;
begin
  slice := sessctl.cleanup_slice(cutoff, max_rows, "position");
  next_position := slice.next_position;
  if slice.from_row is null then
    "rows" := array(
      select s.row_id from sessctl.ended_session as s where s.ended_at >= slice.from_time and s.ended_at < slice.to_time
    );
  else
    "rows" := array(
      select s.row_id
      from sessctl.ended_session as s
      where s.row_id >= slice.from_row and s.row_id < slice.to_row and s.ended_at < cutoff
    );
  end if;
end
$$;
