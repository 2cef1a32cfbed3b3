-- One batch of a cleanup: deletes about max_rows sessions that ended before the cutoff.
-- "position": null at first, then what the batch before gave back. skipped: another run is running.
create or replace function sessctl.cleanup_batch(
  cutoff timestamptz,
  max_rows integer,
  inout "position" text default null,
  out affected integer,
  out finished boolean,
  out skipped boolean,
  out kept integer
)
language plpgsql
set search_path = ''
as $$
declare
  slice record;
begin
  perform sessctl.require_all_rows();
  affected := 0;
  finished := false;
  skipped := not sessctl.lock_job('cleanup');
  if skipped then
    return;
  end if;
  slice := sessctl.cleanup_slice(cutoff, max_rows, "position");
  select d.affected, d.kept into affected, kept
  from sessctl.cleanup_delete(cutoff, slice.from_time, slice.to_time, slice.from_row, slice.to_row, null) as d;
  "position" := slice.next_position;
  finished := "position" is null;
end
$$;
