-- One batch of a cleanup: deletes up to max_rows sessions that ended before the cutoff.
-- "position": null at first, then what the batch before gave back: a time, or a row where the batches are block ranges.
-- skipped: another run is running.
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
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
declare
  slice record;
begin
  perform sessctl.require_all_rows();
  affected := 0;
  finished := false;
  skipped := not pg_try_advisory_xact_lock(1936028531, 3);
  if skipped then
    return;
  end if;
  if "position" is null or "position" not like '(%' then
    slice := sessctl.cleanup_time_slice(cutoff, "position"::timestamptz, max_rows);
    if slice.affected is not null then
      affected := slice.affected;
      "position" := slice.next_time::text;
      finished := "position" is null;
      return;
    end if;
    "position" := '(0,0)';
  end if;
  slice := sessctl.cleanup_block_range(cutoff, "position"::tid, max_rows);
  affected := slice.affected;
  "position" := slice.next_row::text;
  finished := "position" is null;
end
$$;
