-- A whole sweep, or one that stops at max_rows rows, in the caller's transaction. Gives back how many were ended.
create or replace function sessctl.end_inactive(minutes integer, max_rows integer default null)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  cutoff constant timestamptz := sessctl.end_inactive_cutoff(minutes);
  list_size constant integer := 50000;
  due tid[] := '{}'::tid[];
  batch record;
  total integer := 0;
begin
  loop
    due := sessctl.end_inactive_due(cutoff, list_size, from_page_of := due[cardinality(due)]);
    exit when cardinality(due) = 0;
    batch := sessctl.end_inactive_batch(cutoff, due[:coalesce(max_rows - total, list_size)]);
    total := total + batch.affected;
    if batch.skipped then
      raise notice 'another run is at work';
    end if;
    exit when batch.skipped or cardinality(due) < list_size or total >= max_rows;
  end loop;
  return total;
end
$$;
