-- Has anything ended since the point where a scan begins? Of the index alone: see sessctl.cleanup_is_due.
create or replace function sessctl.anonymize_is_due(cutoff timestamptz, removes text[])
returns boolean
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
set lock_timeout = '1s'
as $$
declare
  from_time constant timestamptz := sessctl.anonymize_from(removes);
begin
  return (
    select true
    from only public.user_sessions as s
    where s.ended_at >= from_time and s.ended_at < cutoff and s.status not in ('active', 'idle')
    order by s.ended_at
    limit 1
  ) is not null;
end
$$;
