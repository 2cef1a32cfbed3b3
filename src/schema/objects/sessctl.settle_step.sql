-- One batch of a job's settling with its record. affected: by this batch; batches, rows_done and rows_settled: by the whole run,
-- null where skipped.
create or replace function sessctl.settle_step(
  run_id uuid,
  job_name text,
  source text,
  generation integer,
  cutoff timestamptz,
  threshold integer,
  due tid[],
  include_idle boolean,
  out affected integer,
  out skipped boolean,
  out batches integer,
  out rows_done bigint,
  out rows_settled bigint
)
language plpgsql
set search_path = ''
as $$
begin
  affected := 0;
  skipped := not sessctl.run_begin_batch(run_id, job_name, source, generation, cutoff, threshold);
  if skipped then
    return;
  end if;
  if job_name = 'end-inactive' then
    perform sessctl.note_include_idle(include_idle);
  end if;
  affected := sessctl.settle_batch(due);
  select a.batches, a.rows_done, a.rows_settled into batches, rows_done, rows_settled
  from sessctl.run_add(run_id, 0, affected) as a;
end
$$;
