-- A whole sweep, or one that stops at max_rows rows, in the caller's transaction. Gives back how many were ended.
create or replace function sessctl.end_inactive(
  minutes integer,
  max_rows integer default null,
  include_idle boolean default false
)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  cutoff constant timestamptz := sessctl.end_inactive_cutoff(minutes);
  run_id constant uuid := sessctl.run_begin('end-inactive', cutoff, minutes);
  list_size constant integer := 50000;
  due tid[] := '{}'::tid[];
  settling record;
  ended integer;
  total integer := 0;
begin
  if run_id is null then
    return 0;
  end if;
  settling := sessctl.settle(run_id, max_rows);
  perform sessctl.note_include_idle(include_idle);
  loop
    due := sessctl.end_inactive_due(cutoff, list_size, include_idle, due[cardinality(due)]);
    exit when cardinality(due) = 0;
    ended := (sessctl.end_inactive_batch(cutoff, due[:coalesce(max_rows - total, list_size)], include_idle)).affected;
    perform sessctl.run_add(run_id, ended);
    total := total + ended;
    exit when cardinality(due) < list_size or total >= max_rows;
  end loop;
  perform sessctl.run_finish(
    run_id,
    case when greatest(total, settling.settled) >= max_rows then 'incomplete' when settling.failed > 0 then 'failed' else 'done' end,
    message := settling.message,
    rows_failed := settling.failed
  );
  return total;
end
$$;
