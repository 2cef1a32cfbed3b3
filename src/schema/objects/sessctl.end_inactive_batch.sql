-- One batch of a sweep: ends those of the due sessions that are still active (or idle) and unseen since the cutoff.
-- affected: those that are ended now, whatever triggers made of the update. skipped: another run is running.
-- at_last_seen: a session ended when it was last seen, instead of now.
-- SQLSTATE SC002: a lock on something else than the sessions was in the way.
create or replace function sessctl.end_inactive_batch(
  cutoff timestamptz,
  due tid[],
  include_idle boolean default false,
  at_last_seen boolean default false,
  out affected integer,
  out skipped boolean
)
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
  affected := 0;
  skipped := not sessctl.lock_job('end-inactive');
  if skipped then
    return;
  end if;
  -- Where somebody has locked the table, no part of the batch can work.
  lock table only public.user_sessions in row exclusive mode;

  -- The conditions stand again: a heartbeat may have come between the look and the lock. A session that holds rows must neither
  -- stop the others nor have them wait: after a moment for a heartbeat to commit, what is not held is ended, the rest later.
  for attempt in 1 .. 2 loop
    begin
      if attempt = 1 then
        perform set_config('lock_timeout', '50ms', true);
      end if;
      with ended as (
        update sessctl.session_last_seen as s
        set
          status = 'timeout',
          end_reason = 'timeout',
          ended_at = case when at_last_seen and isfinite(s.last_seen) then s.last_seen else now() end,
          total_duration_seconds = case
            -- The usual session, in place: a call a row would add a twentieth to the sweep.
            when not at_last_seen and s.started_at between '2000-01-01 00:00:00+00' and now()
              then extract(epoch from now() - s.started_at)
            else public.calculate_session_duration(
              s.started_at,
              case when at_last_seen and isfinite(s.last_seen) then s.last_seen else now() end
            )
          end
        where s.row_id = any (due) and s.last_seen < cutoff
          and (s.status = 'active' or include_idle and s.status = 'idle')
        returning s.status
      )
      select count(*)::integer into affected from ended as e where e.status not in ('active', 'idle');
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
          from sessctl.session_last_seen as s
          where s.row_id = any (due) and s.last_seen < cutoff
            and (s.status = 'active' or include_idle and s.status = 'idle')
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
