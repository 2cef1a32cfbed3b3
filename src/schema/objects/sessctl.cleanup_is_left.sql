-- Is there a session to delete, where others have just been deleted? The index still has their entries. On a shuffled heap each of
-- them is a page elsewhere, so the heap is read in its own order there.
create or replace function sessctl.cleanup_is_left(cutoff timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_indexscan = on
set enable_indexonlyscan = on
set jit = off
set lock_timeout = '1s'
as $$
begin
  if not sessctl.is_shuffled() then
    return sessctl.cleanup_is_due(cutoff);
  end if;
  perform set_config('enable_indexscan', 'off', true), set_config('enable_indexonlyscan', 'off', true);
  return exists (
    select from (
      select s.ctid from only public.user_sessions as s
      where s.ended_at < cutoff and s.status not in ('active', 'idle')
      -- Found by the index on ended_at, and by no other.
      offset 0
    ) as a (row_id)
    where (select true from sessctl.ended_session as s where s.row_id = a.row_id)
  );
end
$$;
