-- Is there a session to delete? Stops at the first. Nearly always the index alone says that there is none: see sessctl.settle_due.
-- In the order of that index: right after a cleanup the statistics have sessions everywhere, and another one would be read instead.
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
  if sessctl.has_many_dead_entries() then
    return sessctl.cleanup_is_left(cutoff);
  end if;
  if (
    select true
    from only public.user_sessions as s
    where s.ended_at < cutoff and s.status not in ('active', 'idle')
    order by s.ended_at
    limit 1
  ) is null then
    return false;
  end if;
  return (select true from sessctl.ended_session as s where s.ended_at < cutoff order by s.ended_at limit 1) is not null;
end
$$;
