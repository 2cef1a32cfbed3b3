-- A whole run in one transaction, as a caller of sessctl.end_inactive or sessctl.cleanup has it: begins it. Null: another run is
-- running, and the record says that this one was skipped.
create or replace function sessctl.run_begin(job_name text, cutoff timestamptz, threshold integer)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  run_id constant uuid := gen_random_uuid();
  source constant text := case
    when current_setting('application_name') like 'pg\_cron%'
      or (select a.backend_type from pg_catalog.pg_stat_get_activity(pg_backend_pid()) as a) = 'pg_cron' then 'pg_cron'
    when current_setting('request.jwt.claims', true) <> '' then 'api'
    else 'sql'
  end;
begin
  if sessctl.run_begin_batch(run_id, job_name, source, 0, cutoff, threshold) then
    return run_id;
  end if;
  raise notice 'another run of % is running', job_name;
  return null;
end
$$;
