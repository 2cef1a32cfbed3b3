-- Settles those of the due sessions whose ended_at is still implausible: they ended when they were last seen. Their duration is
-- written only where it is missing. Gives back how many are plausible now, whatever triggers made of the update. The caller holds
-- its job's lock. SQLSTATE SC002: a lock on something else than the sessions was in the way.
create or replace function sessctl.settle_batch(due tid[], out affected integer)
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_indexscan = off
set enable_bitmapscan = off
set jit = off
set lock_timeout = '1s'
as $$
begin
  perform sessctl.require_all_rows();
  -- Where somebody has locked the table, no part of the batch can work.
  lock table only public.user_sessions in row exclusive mode;
  -- As in sessctl.end_inactive_batch: a session that holds rows must neither stop the others nor have them wait.
  for attempt in 1 .. 2 loop
    begin
      if attempt = 1 then
        perform set_config('lock_timeout', '50ms', true);
      end if;
      with settled as (
        update sessctl.ended_last_seen as s
        set
          ended_at = s.last_seen,
          total_duration_seconds = case
            when s.total_duration_seconds > 0 then s.total_duration_seconds
            else public.calculate_session_duration(s.started_at, s.last_seen)
          end
        where s.row_id = any (due) and s.is_implausible
        returning s.is_implausible
      )
      select count(*)::integer into affected from settled as t where not t.is_implausible;
      -- A deferred constraint would fail at the commit, where nothing can be divided any more.
      set constraints all immediate;
      return;
    exception
      when lock_not_available then
        if attempt = 2 then
          raise exception using errcode = 'SC002', message = sqlerrm;
        end if;
        due := array(
          select s.row_id
          from sessctl.ended_last_seen as s
          where s.row_id = any (due) and s.is_implausible
          for update skip locked
        );
      when feature_not_supported then
        -- A rule has taken the place of the update, or does more: it is named where the run ends.
        if not sessctl.has_update_rule() then
          raise;
        end if;
        affected := 0;
        return;
    end;
  end loop;
end
$$;
