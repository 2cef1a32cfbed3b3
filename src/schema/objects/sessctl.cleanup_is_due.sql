-- Is there a session to delete? Stops at the first.
create or replace function sessctl.cleanup_is_due(cutoff timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
set lock_timeout = '1s'
as $$
begin
  return exists (select from sessctl.ended_session s where s.ended_at < cutoff);
end
$$;
