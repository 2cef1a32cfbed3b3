-- Makes a run the one that is running. False: another one is. The caller holds the job's lock.
create or replace function sessctl.run_take_over(run_id uuid, job_name text, threshold integer)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  stale uuid;
  pruned_at timestamptz;
  table_id oid;
begin
  update sessctl.job as j
  set running = run_id, last_run = run_id, threshold = run_take_over.threshold, table_id = 'public.user_sessions'::regclass
  from sessctl.job as old
  where j.name = job_name and old.name = job_name and (old.running = run_id or not sessctl.is_running(old.running))
  returning old.running, old.pruned_at, old.table_id into stale, pruned_at, table_id;
  if not found then
    -- A copy of the schema without rows has no row of the job.
    insert into sessctl.job (name) values (job_name) on conflict (name) do nothing;
    return found and sessctl.run_take_over(run_id, job_name, threshold);
  end if;
  if table_id is distinct from 'public.user_sessions'::regclass then
    perform sessctl.require_table();
  end if;
  if stale <> run_id or pruned_at < now() - interval '1 day' then
    perform sessctl.run_tidy(run_id, job_name, stale, pruned_at);
  end if;
  return true;
end
$$;
