-- Adds a batch to its run, in the batch's transaction.
create or replace function sessctl.run_add(run_id uuid, done bigint, out batches integer, out rows_done bigint)
language plpgsql
set search_path = ''
as $$
begin
  update sessctl.run as r
  set rows_done = r.rows_done + done, batches = r.batches + 1, progress_at = clock_timestamp()
  where r.id = run_id
  returning r.batches, r.rows_done into batches, rows_done;
end
$$;
