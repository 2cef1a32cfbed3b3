-- Is there a session to delete? Stops at the first. Nearly always the index alone says that there is none: see sessctl.settle_due.
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
  if not exists (select from only public.user_sessions as s where s.ended_at < cutoff and s.status not in ('active', 'idle')) then
    return false;
  end if;
  return exists (select from sessctl.ended_session as s where s.ended_at < cutoff);
end
$$;
