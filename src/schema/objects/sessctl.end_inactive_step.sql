-- One batch of a sweep with its record. affected: by this batch; batches and rows_done: by the whole run, null where skipped.
create or replace function sessctl.end_inactive_step(
  run_id uuid,
  source text,
  generation integer,
  cutoff timestamptz,
  minutes integer,
  due tid[],
  include_idle boolean,
  at_last_seen boolean,
  out affected integer,
  out skipped boolean,
  out batches integer,
  out rows_done bigint
)
language plpgsql
set search_path = ''
as $$
begin
  affected := 0;
  skipped := not sessctl.run_begin_batch(run_id, 'end-inactive', source, generation, cutoff, minutes);
  if skipped then
    return;
  end if;
  perform sessctl.note_include_idle(include_idle);
  affected := (sessctl.end_inactive_batch(cutoff, due, include_idle, at_last_seen)).affected;
  select a.batches, a.rows_done into batches, rows_done from sessctl.run_add(run_id, affected) as a;
end
$$;
