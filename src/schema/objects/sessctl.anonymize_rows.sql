-- Removes what a run removes from those of the listed sessions that ended before the cutoff, and nothing else: no time changes, and
-- updated_at is none of the columns whose trigger runs. affected: those that have nothing of it now, whatever triggers made of the
-- update. The caller holds the job's lock. SQLSTATE SC002: a lock on something else than the sessions was in the way.
create or replace function sessctl.anonymize_rows(cutoff timestamptz, "rows" tid[], removes text[], out affected integer)
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
  if "rows" = '{}'::tid[] then
    return;
  end if;
  -- Where somebody has locked the table, no part of the batch can work.
  lock table only public.user_sessions in row exclusive mode;
  -- As in sessctl.end_inactive_batch: a session that holds rows must neither stop the others nor have them wait.
  for attempt in 1 .. 2 loop
    begin
      if attempt = 1 then
        perform set_config('lock_timeout', '50ms', true);
      end if;
      with blank as (
        update sessctl.ended_personal as s
        set
          ip_address = case when 'address' = any (removes) then null when 'host' = any (removes) then s.ip_network else s.ip_address end,
          user_agent = case when 'user-agent' = any (removes) then null else s.user_agent end,
          location_info = case when 'location' = any (removes) and s.location_info <> '{}' then '{}' else s.location_info end
        where s.row_id = any ("rows") and s.ended_at < cutoff and not s.is_implausible and s.personal && removes
        returning s.personal && removes as is_personal
      )
      select count(*)::integer into affected from blank as b where not b.is_personal;
      -- A deferred constraint would fail at the commit, where nothing can be divided any more.
      set constraints all immediate;
      return;
    exception
      when lock_not_available then
        if attempt = 2 then
          raise exception using errcode = 'SC002', message = sqlerrm;
        end if;
        "rows" := array(
          select s.row_id
          from sessctl.ended_personal as s
          where s.row_id = any ("rows") and s.ended_at < cutoff and not s.is_implausible and s.personal && removes
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
