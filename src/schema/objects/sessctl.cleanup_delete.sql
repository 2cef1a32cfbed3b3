-- Deletes the sessions past retention of a slice, or those listed in "rows". kept: sessions of it that a foreign key keeps; they
-- are not tried. SQLSTATE SC002: a lock on something else than the sessions was in the way, such as a row that refers to one.
-- row_versions and ids, if given: of the listed sessions as they were archived; one that has changed since then stays.
create or replace function sessctl.cleanup_delete(
  cutoff timestamptz,
  from_time timestamptz,
  to_time timestamptz,
  from_row tid,
  to_row tid,
  "rows" tid[],
  row_versions xid[] default null,
  ids uuid[] default null,
  out affected integer,
  out kept integer
)
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_indexscan = on
set jit = off
set lock_timeout = '1s'
as $$
declare
  range constant text := case
    when row_versions is not null then 's.row_id = any ($6) and exists (
      select from unnest($6, $7, $8) as k (row_id, row_version, id)
      where k.row_id = s.row_id and k.row_version = s.row_version and k.id = s.id)'
    when "rows" is not null then 's.row_id = any ($6)'
    when from_row is not null then 's.row_id >= $4 and s.row_id < $5'
    else 's.ended_at >= $2 and s.ended_at < $3'
  end;
  kept_by constant text := sessctl.kept_by_reference();
  wanted constant text := concat('s.ended_at < $1 and ', range, ' and not (' || kept_by || ')');
begin
  if row_versions is null then
    perform sessctl.require_archive();
  else
    -- The listed places must be read, and not all sessions past retention.
    perform set_config('random_page_cost', '0.01', true);
    perform set_config('enable_tidscan', 'on', true);
  end if;
  -- Where somebody has locked the table, no part of the batch can work.
  lock table only public.user_sessions in row exclusive mode;
  for attempt in 1 .. 2 loop
    begin
      if attempt = 1 then
        perform set_config('lock_timeout', '50ms', true);
        if isfinite(from_time) then
          -- Page by page rather than entry by entry: a tenth less work. Not in the first slice: right after a cleanup the statistics
          -- have it full, and another index would be read from end to end.
          perform set_config('enable_indexscan', 'off', true);
        end if;
        execute concat('delete from sessctl.ended_session as s where ', wanted)
          using cutoff, from_time, to_time, from_row, to_row, "rows", row_versions, ids;
      else
        -- A session that holds rows must neither stop the others nor have them wait: they are left for the next run.
        execute concat('delete from sessctl.ended_session as d where d.row_id = any (array(select s.row_id
            from sessctl.ended_session as s where ', wanted, ' for update of s skip locked))')
          using cutoff, from_time, to_time, from_row, to_row, "rows", row_versions, ids;
      end if;
      get diagnostics affected = row_count;
      -- A deferred constraint would fail at the commit, where nothing can be divided any more.
      set constraints all immediate;
      exit;
    exception
      when lock_not_available then
        if attempt = 2 then
          raise exception using errcode = 'SC002', message = sqlerrm;
        end if;
    end;
  end loop;
  kept := 0;
  if kept_by is not null then
    execute concat('select count(*) from sessctl.ended_session as s where s.ended_at < $1 and ', range, ' and (', kept_by, ')')
      into kept using cutoff, from_time, to_time, from_row, to_row, "rows", row_versions, ids;
  end if;
end
$$;
