-- Adds a batch to its run, in the batch's transaction.
create or replace function sessctl.run_add(
  run_id uuid,
  done bigint,
  settled bigint default 0,
  out batches integer,
  out rows_done bigint,
  out rows_settled bigint
)
language plpgsql
set search_path = ''
as $$
begin
  update sessctl.run as r
  set rows_done = r.rows_done + done, rows_settled = r.rows_settled + settled, batches = r.batches + 1,
    progress_at = clock_timestamp()
  where r.id = run_id
  returning r.batches, r.rows_done, r.rows_settled into batches, rows_done, rows_settled;
end
$$;
