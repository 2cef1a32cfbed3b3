-- The rules of maintenance, once: which sessions end, which go, and the batches in which they do.
-- The command line, pg_cron jobs and the public functions all call what stands here.
-- sessctl: revokes rights on schema sessctl
-- sessctl: revokes rights on function public.end_inactive_sessions(integer)
-- sessctl: revokes rights on function public.cleanup_old_sessions(integer)

-- Each session with the last sign of life it gave: of the times that clients write, the first that is set and not
-- in the future (five minutes are forgiven to a clock that is ahead). Without any it has never been seen.
create or replace view sessctl.session_last_seen
with (security_invoker = true) as
select
  s.ctid as row_id,
  s.status,
  s.end_reason,
  s.started_at,
  s.ended_at,
  s.total_duration_seconds,
  coalesce(
    case when s.last_heartbeat_at <= now() + interval '5 minutes' then s.last_heartbeat_at end,
    case when s.last_activity_at <= now() + interval '5 minutes' then s.last_activity_at end,
    case when s.updated_at <= now() + interval '5 minutes' then s.updated_at end,
    case when s.created_at <= now() + interval '5 minutes' then s.created_at end,
    '-infinity'
  ) as last_seen
from public.user_sessions as s;

-- Sessions that are over. One that a client revived (active or idle again, its old ended_at still there) is not.
create or replace view sessctl.ended_session
with (security_invoker = true) as
select
  s.ctid as row_id,
  s.ended_at
from public.user_sessions as s
where s.ended_at is not null and s.status not in ('active', 'idle');

-- Row level security hides rows in silence: a role under it would find nothing to do, for ever.
create or replace function sessctl.require_all_rows()
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if row_security_active('public.user_sessions') then
    raise exception 'role "%" can''t see all sessions: row level security applies to it', current_user
      using errcode = 'insufficient_privilege',
        hint = 'Use the owner of public.user_sessions, service_role, or a role with BYPASSRLS.';
  end if;
end
$$;

-- The moment before which a session without a sign of life is over. minutes: 1 … 5256000 (ten years).
create or replace function sessctl.end_inactive_cutoff(minutes integer)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  if minutes is null or minutes not between 1 and 5256000 then
    raise exception 'minutes must be from 1 to 5256000, not %', coalesce(minutes::text, 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  perform sessctl.require_all_rows();
  return now() - make_interval(mins => minutes);
end
$$;

-- The moment before which an ended session may be deleted. days: 1 … 36500 (a century), each of 24 hours.
create or replace function sessctl.cleanup_cutoff(days integer)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  if days is null or days not between 1 and 36500 then
    raise exception 'days must be from 1 to 36500, not %', coalesce(days::text, 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  perform sessctl.require_all_rows();
  return now() - make_interval(hours => days * 24);
end
$$;

-- The planner is told what the caller knows: the parameters are worth a plan of their own, and a look at the whole
-- table is never right for a batch. jit would compile whatever plan that refusal makes look dear.

-- The sessions to end, at most max_rows, page by page as they are stored, from the page of row "from_page_of" on. That page
-- comes again, since the rows of one page come in no order; those ended meanwhile do not. No plan is left that has the pages
-- in another order. max_rows: more than fit on a page, or a page of rows that somebody holds would come for ever.
-- By the index on the active ones: the cost follows their number, not the size of the table. Only where they are most of
-- the table, it is read from end to end.
create or replace function sessctl.end_inactive_due(
  cutoff timestamptz,
  max_rows integer,
  include_idle boolean default false,
  from_page_of tid default null
)
returns tid[]
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_tidscan = off
set enable_indexscan = off
set synchronize_seqscans = off
set max_parallel_workers_per_gather = 0
set jit = off
set lock_timeout = '1s'
as $$
declare
  from_row constant tid := ('(' || split_part(trim('(' from from_page_of::text), ',', 1) || ',0)')::tid;
begin
  if (
    select i.reltuples > t.reltuples / 2
    from pg_catalog.pg_class as t
    cross join pg_catalog.pg_class as i
    where t.oid = to_regclass('public.user_sessions') and i.oid = to_regclass('public.idx_user_sessions_active')
  ) then
    perform set_config('enable_seqscan', 'on', true), set_config('enable_tidscan', 'on', true);
  end if;
  return array(
    select s.row_id
    from sessctl.session_last_seen as s
    where (s.status = 'active' or include_idle and s.status = 'idle') and s.last_seen < cutoff
      and (from_row is null or s.row_id >= from_row)
    limit max_rows
  );
end
$$;

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

-- One batch of a sweep: ends those of the due sessions that are still active (or idle) and unseen since the cutoff.
-- skipped: another run is at work. at_last_seen: a session ended when it was last seen, instead of now.
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
  skipped := not pg_try_advisory_xact_lock(1936028531, 2);
  if skipped then
    return;
  end if;

  -- The conditions stand again: a heartbeat may have come between the look and the lock. Who holds rows must neither stop
  -- the others nor have them wait: after a moment for a heartbeat to commit, what is not held is ended, the rest later.
  for attempt in 1 .. 2 loop
    begin
      if attempt = 1 then
        perform set_config('lock_timeout', '50ms', true);
      end if;
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
        and (s.status = 'active' or include_idle and s.status = 'idle');
      get diagnostics affected = row_count;
      return;
    exception
      when lock_not_available then
        -- Not rows then: somebody has locked the table.
        if attempt = 2 then
          raise;
        end if;
        due := array(
          select s.row_id
          from sessctl.session_last_seen as s
          where s.row_id = any (due) and s.last_seen < cutoff
            and (s.status = 'active' or include_idle and s.status = 'idle')
          for update skip locked
        );
    end;
  end loop;
end
$$;

-- One batch of a cleanup: deletes up to max_rows sessions that ended before the cutoff.
-- "position": null at first, then what the batch before gave back. skipped: another run is at work.
-- Two ways through the rows. In the order they ended, by the index: right for a sliver, and for a table stored in that
-- order. In the order they are stored, by ranges of blocks: right where a good part goes and the heap is shuffled, and
-- where more than max_rows sessions ended at one moment (a sweep does that).
-- The head names each setting that the body changes: only then does the change end with the function.
create or replace function sessctl.cleanup_batch(
  cutoff timestamptz,
  max_rows integer,
  inout "position" text default null,
  out affected integer,
  out finished boolean,
  out skipped boolean
)
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_indexscan = on
set jit = off
set lock_timeout = '1s'
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
declare
  pages bigint;
  by_blocks boolean := false;
  rows_a_page double precision;
  from_time timestamptz;
  to_time timestamptz;
  from_row tid;
  to_row tid;
  next_page bigint;
begin
  perform sessctl.require_all_rows();
  affected := 0;
  finished := false;
  skipped := not pg_try_advisory_xact_lock(1936028531, 3);
  if skipped then
    return;
  end if;

  if "position" is null or "position" not like '(%' then
    from_time := coalesce("position", '-infinity')::timestamptz;
    select s.ended_at into to_time
    from sessctl.ended_session as s
    where s.ended_at >= from_time and s.ended_at < cutoff
    order by s.ended_at
    offset max_rows
    limit 1;
    if "position" is null and to_time is not null and (
      select abs(s.correlation) < 0.9
      from pg_catalog.pg_stats as s
      where s.schemaname = 'public' and s.tablename = 'user_sessions' and s.attname = 'ended_at'
    ) then
      pages := pg_relation_size('public.user_sessions') / current_setting('block_size')::bigint;
      by_blocks := pages = (
        select count(*) from (
          select from sessctl.ended_session as s where s.ended_at < cutoff limit pages
        ) as a_row_a_page
      );
    end if;
    if to_time is distinct from from_time and not by_blocks then
      begin
        -- Page by page rather than entry by entry: a tenth less work.
        perform set_config('lock_timeout', '50ms', true), set_config('enable_indexscan', 'off', true);
        delete from sessctl.ended_session as s
        where s.ended_at >= from_time and s.ended_at < coalesce(to_time, cutoff);
        get diagnostics affected = row_count;
      exception
        when lock_not_available then
          -- Who holds rows must neither stop the others nor have them wait: they are left for the next run.
          delete from sessctl.ended_session as s
          where s.row_id = any (array(
            select t.row_id
            from sessctl.ended_session as t
            where t.ended_at >= from_time and t.ended_at < coalesce(to_time, cutoff)
            for update skip locked
          ));
          get diagnostics affected = row_count;
      end;
      finished := to_time is null;
      "position" := to_time::text;
      return;
    end if;
    -- More than a slice at one moment, or a shuffled heap of which a good part goes.
    "position" := '(0,0)';
  end if;

  select greatest(coalesce(c.reltuples / nullif(c.relpages, 0), 50), 1) into rows_a_page
  from pg_catalog.pg_class as c
  where c.oid = 'public.user_sessions'::regclass;
  from_row := "position"::tid;
  next_page := split_part(trim('(' from "position"), ',', 1)::bigint
    + greatest(1, ceil(max_rows / rows_a_page))::bigint;
  to_row := format('(%s,0)', next_page)::tid;
  select s.row_id into to_row
  from sessctl.ended_session as s
  where s.row_id >= from_row and s.row_id < to_row and s.ended_at < cutoff
  offset max_rows
  limit 1;
  -- The rows come as they are stored; should they ever not, the batch is larger, and nothing is left out.
  if not found or to_row <= from_row then
    to_row := format('(%s,0)', next_page)::tid;
  end if;
  begin
    perform set_config('lock_timeout', '50ms', true);
    delete from sessctl.ended_session as s
    where s.row_id >= from_row and s.row_id < to_row and s.ended_at < cutoff;
    get diagnostics affected = row_count;
  exception
    when lock_not_available then
      delete from sessctl.ended_session as s
      where s.row_id = any (array(
        select t.row_id
        from sessctl.ended_session as t
        where t.row_id >= from_row and t.row_id < to_row and t.ended_at < cutoff
        for update skip locked
      ));
      get diagnostics affected = row_count;
  end;
  pages := pg_relation_size('public.user_sessions') / current_setting('block_size')::bigint;
  finished := next_page >= pages and to_row = format('(%s,0)', next_page)::tid;
  "position" := to_row::text;
end
$$;

-- A whole sweep, or one that stops at max_rows rows, in the caller's transaction. Gives back how many were ended.
create or replace function sessctl.end_inactive(minutes integer, max_rows integer default null)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  cutoff constant timestamptz := sessctl.end_inactive_cutoff(minutes);
  list_size constant integer := 50000;
  due tid[] := '{}'::tid[];
  batch record;
  total integer := 0;
begin
  loop
    due := sessctl.end_inactive_due(cutoff, list_size, from_page_of := due[cardinality(due)]);
    exit when cardinality(due) = 0;
    batch := sessctl.end_inactive_batch(cutoff, due[:coalesce(max_rows - total, list_size)]);
    total := total + batch.affected;
    if batch.skipped then
      raise notice 'another run is at work';
    end if;
    exit when batch.skipped or cardinality(due) < list_size or total >= max_rows;
  end loop;
  return total;
end
$$;

-- A whole cleanup, or one that stops at max_rows rows, in the caller's transaction. Gives back how many were deleted.
create or replace function sessctl.cleanup(days integer, max_rows integer default null)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  cutoff constant timestamptz := sessctl.cleanup_cutoff(days);
  batch record;
  next_position text;
  total integer := 0;
begin
  loop
    select b.* into batch
    from sessctl.cleanup_batch(cutoff, least(10000, max_rows - total), next_position) as b;
    next_position := batch."position";
    total := total + batch.affected;
    if batch.skipped then
      raise notice 'another run is at work';
    end if;
    exit when batch.skipped or batch.finished or total >= max_rows;
  end loop;
  return total;
end
$$;

-- The script's two functions, under their names.
create or replace function public.end_inactive_sessions(timeout_minutes integer default 60)
returns integer
language plpgsql
set search_path = ''
as $$
begin
  return sessctl.end_inactive(timeout_minutes);
end
$$;

create or replace function public.cleanup_old_sessions(days_old integer default 90)
returns integer
language plpgsql
set search_path = ''
as $$
begin
  return sessctl.cleanup(days_old);
end
$$;

-- Maintenance is for service_role and the owner, whatever default privileges gave to others.
revoke all on schema sessctl from public, anon, authenticated, service_role;
revoke all on all tables in schema sessctl from public, anon, authenticated, service_role;
revoke all on all functions in schema sessctl from public, anon, authenticated, service_role;
revoke all on function public.end_inactive_sessions(integer), public.cleanup_old_sessions(integer)
  from public, anon, authenticated, service_role;
grant execute on function public.end_inactive_sessions(integer), public.cleanup_old_sessions(integer) to service_role;
grant usage on schema sessctl to service_role;
grant execute on all functions in schema sessctl to service_role;
grant select, update on sessctl.session_last_seen to service_role;
grant select, update, delete on sessctl.ended_session to service_role;

notify pgrst, 'reload schema';
