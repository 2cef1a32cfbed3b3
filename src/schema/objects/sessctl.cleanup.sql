-- A whole cleanup, or one that stops at max_rows rows, in the caller's transaction. Gives back how many were deleted.
create or replace function sessctl.cleanup(days integer, max_rows integer default null)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  cutoff constant timestamptz := sessctl.cleanup_cutoff(days);
  run_id constant uuid := sessctl.run_begin('cleanup', cutoff, days);
  settling record;
  batch record;
  next_position text;
  total integer := 0;
  kept integer := 0;
begin
  if run_id is null then
    return 0;
  end if;
  settling := sessctl.settle(run_id, max_rows);
  kept := settling.failed;
  loop
    batch := sessctl.cleanup_batch(cutoff, least(10000, max_rows - total), next_position);
    next_position := batch."position";
    perform sessctl.run_add(run_id, batch.affected);
    kept := kept + batch.kept;
    total := total + batch.affected;
    exit when batch.finished or total >= max_rows;
  end loop;
  perform sessctl.run_finish(
    run_id,
    case
      when total >= max_rows and not batch.finished or settling.settled >= max_rows then 'incomplete'
      when kept > 0 then 'failed'
      else 'done'
    end,
    message := settling.message,
    rows_failed := kept
  );
  return total;
end
$$;
