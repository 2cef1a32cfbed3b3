-- After a lost connection: waits for a batch that the old one has still running, keeps out any that comes later, and says what
-- the run has done. A record that is gone (a failover lost it, and the batches with it) begins again at nothing.
create or replace function sessctl.run_fence(
  run_id uuid,
  job_name text,
  source text,
  inout generation integer,
  cutoff timestamptz,
  out batches integer,
  out rows_done bigint,
  out rows_settled bigint
)
language sql
set search_path = ''
as $$
  insert into sessctl.run as r (id, job, source, generation, cutoff)
  values (run_id, job_name, source, generation + 1, cutoff)
  on conflict (id) do update set generation = greatest(r.generation + 1, excluded.generation), progress_at = clock_timestamp()
  returning r.generation, r.batches, r.rows_done, r.rows_settled
$$;
