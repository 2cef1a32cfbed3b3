-- One batch of a cleanup with its record: the next slice, or the sessions listed in "rows", with the versions that were archived.
create or replace function sessctl.cleanup_step(
  run_id uuid,
  source text,
  generation integer,
  cutoff timestamptz,
  days integer,
  max_rows integer,
  inout "position" text,
  "rows" tid[] default null,
  row_versions xid[] default null,
  ids uuid[] default null,
  out affected integer,
  out kept integer,
  out finished boolean,
  out skipped boolean,
  out batches integer,
  out rows_done bigint
)
language plpgsql
set search_path = ''
as $$
declare
  batch record;
begin
  affected := 0;
  finished := false;
  skipped := not sessctl.run_begin_batch(run_id, 'cleanup', source, generation, cutoff, days);
  if skipped then
    return;
  end if;
  if "rows" is null then
    batch := sessctl.cleanup_batch(cutoff, max_rows, "position");
    "position" := batch."position";
    finished := batch.finished;
  else
    perform sessctl.require_all_rows();
    batch := sessctl.cleanup_delete(cutoff, null, null, null, null, "rows", row_versions, ids);
  end if;
  affected := batch.affected;
  kept := batch.kept;
  select a.batches, a.rows_done into batches, rows_done from sessctl.run_add(run_id, affected) as a;
end
$$;
