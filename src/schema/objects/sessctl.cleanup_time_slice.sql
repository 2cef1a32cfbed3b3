-- The next sessions past retention in the order they ended, by the index: right for a sliver, and for a table stored in that
-- order. from_time: where the last slice ended. next_time: where this one ends; null: nothing is left behind it.
-- affected is null, and nothing was deleted, where block ranges do better: more than max_rows sessions ended at one moment (a
-- sweep does that), or, looked at before the first slice, a good part of a shuffled heap goes.
-- The head names each setting that the body changes: only then does the change end with the function.
create or replace function sessctl.cleanup_time_slice(
  cutoff timestamptz,
  from_time timestamptz,
  max_rows integer,
  out next_time timestamptz,
  out affected integer
)
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_indexscan = on
set jit = off
set lock_timeout = '1s'
as $$
begin
  select s.ended_at into next_time
  from sessctl.ended_session as s
  where s.ended_at >= coalesce(from_time, '-infinity') and s.ended_at < cutoff
  order by s.ended_at
  offset max_rows
  limit 1;
  if next_time = coalesce(from_time, '-infinity')
    or from_time is null and next_time is not null and sessctl.cleanup_prefers_blocks(cutoff)
  then
    return;
  end if;
  begin
    -- Page by page rather than entry by entry: a tenth less work.
    perform set_config('lock_timeout', '50ms', true), set_config('enable_indexscan', 'off', true);
    delete from sessctl.ended_session as s
    where s.ended_at >= coalesce(from_time, '-infinity') and s.ended_at < coalesce(next_time, cutoff);
    get diagnostics affected = row_count;
  exception
    when lock_not_available then
      -- A session that holds rows must neither stop the others nor have them wait: they are left for the next run.
      delete from sessctl.ended_session as s
      where s.row_id = any (array(
        select t.row_id
        from sessctl.ended_session as t
        where t.ended_at >= coalesce(from_time, '-infinity') and t.ended_at < coalesce(next_time, cutoff)
        for update skip locked
      ));
      get diagnostics affected = row_count;
  end;
end
$$;
