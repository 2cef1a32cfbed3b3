-- A whole cleanup, or one that stops at max_rows rows, in the caller's transaction. Gives back how many were deleted.
create or replace function sessctl.cleanup(days integer, max_rows integer default null)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  cutoff constant timestamptz := sessctl.cleanup_cutoff(days);
  batch record;
  next_position text;
  total integer := 0;
begin
  loop
    select b.* into batch
    from sessctl.cleanup_batch(cutoff, least(10000, max_rows - total), next_position) as b;
    next_position := batch."position";
    total := total + batch.affected;
    if batch.skipped then
      raise notice 'another run is at work';
    end if;
    exit when batch.skipped or batch.finished or total >= max_rows;
  end loop;
  return total;
end
$$;
