-- Whether this run is running: its record is unfinished, and made progress in the last minute. Null is not.
create or replace function sessctl.is_running(run_id uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  -- Nearly always so, and not worth a plan.
  if run_id is null then
    return false;
  end if;
  return exists (
    select from sessctl.run as r
    where r.id = run_id and r.outcome is null and r.progress_at > clock_timestamp() - interval '1 minute'
  );
end
$$;
