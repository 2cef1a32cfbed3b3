-- The record of maintenance and its rules, once: which sessions end, which go, and the batches in which they do.
-- The command line, pg_cron jobs and the public functions all call what stands here.
-- sessctl: revokes rights on schema sessctl
-- sessctl: revokes rights on function public.end_inactive_sessions(integer)
-- sessctl: revokes rights on function public.cleanup_old_sessions(integer)

-- One row per run of a job, from every entry point. A batch adds its count in its own transaction, so that count and sessions
-- stay together whatever is lost. outcome is null while the run is running.
create table if not exists sessctl.run (
  id uuid constraint run_pkey primary key,
  job text not null,
  -- cli, pg_cron, api (a request of PostgREST) or sql (any other session), and the role that ran it.
  source text not null,
  role name not null default current_user,
  -- Raised by a client that lost its connection: a batch of an older generation rolls back.
  generation integer not null default 0,
  started_at timestamptz not null default clock_timestamp(),
  progress_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  cutoff timestamptz not null,
  batches integer not null default 0,
  rows_done bigint not null default 0,
  -- Ended sessions whose implausible ended_at was replaced before.
  rows_settled bigint not null default 0,
  rows_failed bigint not null default 0,
  rows_left bigint,
  outcome text constraint run_outcome_check
    check (outcome in ('done', 'skipped', 'interrupted', 'incomplete', 'failed', 'lost')),
  message text
) with (fillfactor = 50);

-- One row per job, never removed: what runs leave behind when their own rows are pruned after 30 days.
create table if not exists sessctl.job (
  name text constraint job_pkey primary key,
  -- Minutes or days of the newest run.
  threshold integer,
  -- Whether the newest run ends idle sessions too.
  include_idle boolean not null default false,
  -- The run that is running, or was when its client went.
  running uuid,
  last_run uuid,
  last_success uuid,
  last_success_at timestamptz,
  last_failure_at timestamptz,
  runs bigint not null default 0,
  failures bigint not null default 0,
  rows_done bigint not null default 0,
  rows_failed bigint not null default 0,
  archive_required boolean not null default false,
  -- Of anonymize: every session that ended before resume_at has lost what removes names, unless it was locked or came to an older
  -- ended_at since. Once a week a run begins at the beginning again, at full_at the last time.
  resume_at timestamptz,
  full_at timestamptz,
  removes text[],
  -- The table that the views were last found to read: see sessctl.require_table.
  table_id oid,
  pruned_at timestamptz not null default now()
) with (fillfactor = 50);

insert into sessctl.job (name) values ('end-inactive'), ('cleanup'), ('anonymize') on conflict (name) do nothing;

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
  ) as last_seen,
  s.user_id,
  s.platform,
  s.last_activity_at
from only public.user_sessions as s;

-- Each session of status ended or timeout, whether its ended_at is implausible, and the last sign of life it gave.
-- Implausible: null, infinite, over five minutes in the future, or over five minutes before a started_at that is finite and not in
-- the future. (Nothing is subtracted from the first five minutes of all time.)
-- The last sign of life: of updated_at, which a trigger writes, and the times that clients write, the first that is finite and not
-- in the future; never before such a started_at, so that it is plausible itself. Without any: now.
-- The parts of is_implausible are those that an index finds: see idx_user_sessions_unsettled and idx_user_sessions_ended_at.
create or replace view sessctl.ended_last_seen
with (security_invoker = true) as
select
  s.ctid as row_id,
  s.id,
  s.session_id,
  s.started_at,
  s.ended_at,
  s.total_duration_seconds,
  s.ended_at is null
    or s.ended_at = '-infinity'
    or s.ended_at > now() + interval '5 minutes'
    or s.ended_at < s.started_at and s.started_at <= now() + interval '5 minutes'
      and s.ended_at < greatest(s.started_at, '4714-11-24 00:05:00+00 BC') - interval '5 minutes' as is_implausible,
  coalesce(
    greatest(
      coalesce(
        case when isfinite(s.updated_at) and s.updated_at <= now() + interval '5 minutes' then s.updated_at end,
        case when isfinite(s.last_heartbeat_at) and s.last_heartbeat_at <= now() + interval '5 minutes' then s.last_heartbeat_at end,
        case when isfinite(s.last_activity_at) and s.last_activity_at <= now() + interval '5 minutes' then s.last_activity_at end,
        case when isfinite(s.created_at) and s.created_at <= now() + interval '5 minutes' then s.created_at end
      ),
      case when isfinite(s.started_at) and s.started_at <= now() + interval '5 minutes' then s.started_at end
    ),
    now()
  ) as last_seen,
  s.xmin as row_version,
  s.ip_address,
  s.user_agent,
  s.location_info
from only public.user_sessions as s
where s.status in ('ended', 'timeout');

-- Sessions that are over, and ended at a time that is plausible: the others are settled first. One that a client revived (active
-- or idle again, its old ended_at still there) is not over.
create or replace view sessctl.ended_session
with (security_invoker = true) as
select
  s.row_id,
  s.id,
  s.session_id,
  s.ended_at,
  s.row_version
from sessctl.ended_last_seen as s
where not s.is_implausible;

-- What each session that is over has of its user's address, program and place. personal: names of what can be removed, as in
-- sessctl.anonymize_removes, with nulls between them. ip_network: what is left of the address without its host.
create or replace view sessctl.ended_personal
with (security_invoker = true) as
select
  s.row_id,
  s.ended_at,
  s.is_implausible,
  s.last_seen,
  s.ip_address,
  s.user_agent,
  s.location_info,
  network(
    set_masklen(s.ip_address, least(masklen(s.ip_address), case family(s.ip_address) when 4 then 24 else 48 end))
  )::inet as ip_network,
  array[
    case when s.ip_address is not null then 'address' end,
    case
      when s.ip_address <> network(
        set_masklen(s.ip_address, least(masklen(s.ip_address), case family(s.ip_address) when 4 then 24 else 48 end))
      )::inet then 'host'
    end,
    case when s.user_agent is not null then 'user-agent' end,
    case when s.location_info <> '{}' then 'location' end
  ] as personal
from sessctl.ended_last_seen as s;

-- Each session with its duration in seconds, for statistics. One that was ended by a timeout, or is not over, counts to its last
-- sign of life: no sweep changes it. Any other counts to ended_at, or to where a run would settle that. Never below 0.
-- (An end between start and now is plausible. Only the few others are looked up, by their place.)
-- ended_by: the reason that the end has, where it has one.
create or replace view sessctl.session_duration
with (security_invoker = true) as
select
  s.user_id,
  s.platform,
  s.started_at,
  s.status in ('ended', 'timeout') as is_over,
  s.status = 'timeout' or s.status = 'ended' and coalesce(s.end_reason = 'timeout', false) as is_timeout,
  case
    when isfinite(s.started_at) then date_part('epoch', greatest(
      s.started_at,
      case
        when s.status <> 'ended' or s.end_reason = 'timeout' then s.last_seen
        when s.ended_at between s.started_at and now() then s.ended_at
        else (
          select case when e.is_implausible then e.last_seen else e.ended_at end
          from sessctl.ended_last_seen as e
          where e.row_id = s.row_id
        )
      end
    ) - s.started_at)
  end as seconds,
  case s.status when 'timeout' then 'timeout' when 'ended' then s.end_reason end as ended_by
from sessctl.session_last_seen as s;

-- Row level security hides rows in silence: a role under it would never find anything to do. And where a role has
-- session_replication_role = replica, no foreign key would take child rows along: this transaction does without.
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
  if current_setting('session_replication_role') = 'replica' then
    begin
      perform set_config('session_replication_role', 'origin', true);
    exception
      when insufficient_privilege then
        raise exception 'role "%" works with session_replication_role = replica, where foreign keys and triggers do nothing', current_user
          using errcode = 'object_not_in_prerequisite_state',
            hint = format('Have a superuser run: alter role %I reset session_replication_role.', session_user);
    end;
  end if;
end
$$;

-- Views follow a table that is renamed. Where another one has its name now, maintenance would work on the old one: it is refused, as
-- is a table of another kind.
create or replace function sessctl.require_table()
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
  kind constant "char" := (select c.relkind from pg_catalog.pg_class as c where c.oid = 'public.user_sessions'::regclass);
  read_instead constant regclass := (
    select d.refobjid::regclass
    from pg_catalog.pg_rewrite as w
    join pg_catalog.pg_depend as d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
    where w.ev_class = 'sessctl.session_last_seen'::regclass
      and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid not in (w.ev_class, 'public.user_sessions'::regclass)
    limit 1
  );
begin
  if kind <> 'r' then
    raise exception 'public.user_sessions is not an ordinary table'
      using errcode = 'wrong_object_type',
        hint = 'sessctl maintains an ordinary table. See docs/large-tables.md for a partitioned one.';
  end if;
  if read_instead is not null then
    raise exception 'the views of sessctl read % instead of public.user_sessions', read_instead
      using errcode = 'object_not_in_prerequisite_state',
        hint = 'The table was renamed, and another one has its name. If that is meant to be, run sessctl migrate --repair.';
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
-- in another order. max_rows: more than fit on a page, or a page of locked rows would come again without end.
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

-- Whether sessions that ended one after the other lie far from each other.
create or replace function sessctl.is_shuffled()
returns boolean
language sql
stable
set search_path = ''
as $$
  select exists (
    select from pg_catalog.pg_stats as s
    where s.schemaname = 'public' and s.tablename = 'user_sessions' and s.attname = 'ended_at' and abs(s.correlation) < 0.9
  );
$$;

-- Whether the index on ended_at leads mostly to deleted sessions that lie far from each other: after a large cleanup of a shuffled
-- heap, until a vacuum. That comes by itself at this share. Below it the heap is not worth reading: the server marks an entry of a deleted
-- session when it meets it, and does not follow it again.
create or replace function sessctl.has_many_dead_entries()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  -- Nearly always the first says no; the other takes longer than all else in a run without work.
  return pg_stat_get_dead_tuples('public.user_sessions'::regclass)
      >= greatest(100000, pg_stat_get_live_tuples('public.user_sessions'::regclass) / 5)
    and sessctl.is_shuffled();
end
$$;

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

-- Whether a rule on the table makes something else of an update: one with a list of what it has done is refused then.
create or replace function sessctl.has_update_rule()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (
    select
    from pg_catalog.pg_rewrite as w
    where w.ev_class = 'public.user_sessions'::regclass and w.ev_enabled in ('O', 'A') and w.ev_type = '2'
  );
end
$$;

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

-- The sessions to settle, at most max_rows: listed as sessctl.end_inactive_due lists its own, and found by indexes alone, so that
-- the cost follows their number. max_rows: more than fit on a page.
-- Nearly always there is none. The indexes alone say so where none holds what may be implausible, and the query of the view need
-- not be planned, which takes longer than all else in a run without work.
create or replace function sessctl.settle_due(max_rows integer, from_page_of tid default null)
returns tid[]
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_tidscan = off
set enable_indexscan = off
set max_parallel_workers_per_gather = 0
set jit = off
set lock_timeout = '1s'
as $$
declare
  from_row constant tid := ('(' || split_part(trim('(' from from_page_of::text), ',', 1) || ',0)')::tid;
begin
  if not (
    exists (
      select from only public.user_sessions as s
      where s.status in ('ended', 'timeout') and (s.ended_at is null or s.ended_at < s.started_at)
    )
    or exists (
      select from only public.user_sessions as s
      where s.status in ('ended', 'timeout') and (s.ended_at = '-infinity' or s.ended_at > now())
    )
  ) then
    return '{}'::tid[];
  end if;
  return array(
    select s.row_id
    from sessctl.ended_last_seen as s
    where s.is_implausible and (from_row is null or s.row_id >= from_row)
    limit max_rows
  );
end
$$;

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

-- Whether the heap is shuffled and at least one session a block is past retention: then its blocks are read once, in order.
create or replace function sessctl.cleanup_prefers_blocks(cutoff timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
as $$
declare
  pages bigint;
begin
  if not sessctl.is_shuffled() then
    return false;
  end if;
  pages := pg_relation_size('public.user_sessions') / current_setting('block_size')::bigint;
  return pages = (
    select count(*) from (
      select from only public.user_sessions as s
      where s.ended_at < cutoff and s.status not in ('active', 'idle')
      limit pages
    ) as a_row_a_page
  );
end
$$;

-- The bounds of a cleanup's next slice, of about max_rows sessions past retention. "position": null at first, then next_position
-- of the slice before; null: nothing is left behind this slice.
-- In the order they ended, by the index (from_time up to to_time): right for a sliver, and for a table stored in that order.
-- In the order they are stored, by ranges of blocks (from_row up to to_row; the position is a row then): right where a good part
-- of a shuffled heap goes, and where more than max_rows sessions ended at one moment (a sweep does that).
-- Sessions that are not settled count too: a slice may be smaller than it looks, and the index on ended_at alone has its bounds.
create or replace function sessctl.cleanup_slice(
  cutoff timestamptz,
  max_rows integer,
  "position" text,
  out from_time timestamptz,
  out to_time timestamptz,
  out from_row tid,
  out to_row tid,
  out next_position text
)
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
set lock_timeout = '1s'
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
declare
  next_time timestamptz;
  rows_a_page double precision;
  next_page bigint;
begin
  if "position" is null and sessctl.has_many_dead_entries() then
    "position" := '(0,0)';
  elsif "position" is null or "position" not like '(%' then
    from_time := coalesce("position", '-infinity')::timestamptz;
    select s.ended_at into next_time
    from only public.user_sessions as s
    where s.ended_at >= from_time and s.ended_at < cutoff and s.status not in ('active', 'idle')
    order by s.ended_at
    offset max_rows
    limit 1;
    if next_time is null or next_time > from_time
      and not ("position" is null and sessctl.cleanup_prefers_blocks(cutoff))
    then
      to_time := coalesce(next_time, cutoff);
      next_position := next_time::text;
      return;
    end if;
    from_time := null;
    "position" := '(0,0)';
  end if;

  select greatest(coalesce(c.reltuples / nullif(c.relpages, 0), 50), 1) into rows_a_page
  from pg_catalog.pg_class as c
  where c.oid = 'public.user_sessions'::regclass;
  from_row := "position"::tid;
  next_page := split_part(trim('(' from "position"), ',', 1)::bigint + greatest(1, ceil(max_rows / rows_a_page))::bigint;
  select s.ctid into to_row
  from only public.user_sessions as s
  where s.ctid >= from_row and s.ctid < format('(%s,0)', next_page)::tid
    and s.ended_at < cutoff and s.status not in ('active', 'idle')
  offset max_rows
  limit 1;
  -- The rows come as they are stored; should they ever not, the slice is larger, and nothing is left out.
  if not found or to_row <= from_row then
    to_row := format('(%s,0)', next_page)::tid;
    if next_page >= pg_relation_size('public.user_sessions') / current_setting('block_size')::bigint then
      return;
    end if;
  end if;
  next_position := to_row::text;
end
$$;

-- A condition on a session s that a foreign key without a delete action keeps: a row of the other table refers to it. Null where
-- there is no such key, or none that this role can look at. A key that refers to a column that s lacks meets its row in the table.
create or replace function sessctl.kept_by_reference()
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select string_agg(
      format(
        'exists (select from %s %s as c%s where %s)',
        case t.relkind when 'p' then '' else 'only' end,
        f.conrelid::regclass,
        case k.is_of_s when false then ' join only public.user_sessions as p on p.id = s.id' end,
        k.condition
      ),
      ' or '
    )
    from pg_catalog.pg_constraint as f
    join pg_catalog.pg_class as t on t.oid = f.conrelid
    cross join lateral (
      select
        bool_and(parent.attname in ('id', 'session_id')) as is_of_s,
        string_agg(
          format('c.%I = %s.%I', child.attname, case when parent.attname in ('id', 'session_id') then 's' else 'p' end, parent.attname),
          ' and '
        ) as condition
      from unnest(f.conkey, f.confkey) as pair (child, parent)
      join pg_catalog.pg_attribute as child on child.attrelid = f.conrelid and child.attnum = pair.child
      join pg_catalog.pg_attribute as parent on parent.attrelid = f.confrelid and parent.attnum = pair.parent
    ) as k
    where f.contype = 'f' and f.confrelid = 'public.user_sessions'::regclass and f.conparentid = 0
      and f.confdeltype in ('a', 'r')
      and has_table_privilege(f.conrelid, 'select') and not row_security_active(f.conrelid)
  );
end
$$;

-- Refuses to delete without an archive where one is required. Whatever deletes calls it, so nothing goes around it.
create or replace function sessctl.require_archive()
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if exists (select from sessctl.job as j where j.name = 'cleanup' and j.archive_required) then
    raise exception 'this database requires an archive: a cleanup without --archive deletes nothing'
      using errcode = 'object_not_in_prerequisite_state',
        hint = 'Run sessctl cleanup --archive DIR. To delete without an archive from now on, run sessctl cleanup --no-archive-required.';
  end if;
end
$$;

-- Stores whether cleanups require an archive.
create or replace function sessctl.set_archive_required(required boolean)
returns void
language plpgsql
set search_path = ''
as $$
begin
  insert into sessctl.job as j (name, archive_required) values ('cleanup', required)
  on conflict (name) do update set archive_required = required where j.archive_required <> required;
end
$$;

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

-- An expression for about how long the columns of a row u of the table are as texts, in bytes. A text's length is known without
-- reading it; 24 is more than the mean of what has a fixed length.
create or replace function sessctl.archive_bytes()
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select concat_ws(' + ', (count(*) * 24)::text || '::bigint', string_agg(
      format(
        case when a.atttypid in ('text'::regtype, 'varchar'::regtype)
          then 'coalesce(octet_length(u.%I), 0)' else 'coalesce(octet_length(u.%I::text), 0)' end,
        a.attname),
      ' + ') filter (where a.attlen < 0))
    from pg_catalog.pg_attribute as a
    where a.attrelid = 'public.user_sessions'::regclass and a.attnum > 0 and not a.attisdropped
  );
end
$$;

-- The sessions of the next slice to archive, those left out that a foreign key keeps: a text of row_id:row_version:bytes, a space
-- between two, and where the slice behind it begins. bytes: about what the columns are long as texts.
create or replace function sessctl.archive_slice(
  cutoff timestamptz,
  max_rows integer,
  "position" text,
  out candidates text,
  out next_position text
)
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_tidscan = on
-- The listed places must be read, and not all sessions past retention.
set random_page_cost = 0.01
set jit = off
set lock_timeout = '1s'
as $$
declare
  kept_by constant text := sessctl.kept_by_reference();
  bytes constant text := sessctl.archive_bytes();
  slice record;
begin
  perform sessctl.require_all_rows();
  slice := sessctl.cleanup_candidates(cutoff, max_rows, "position");
  next_position := slice.next_position;
  execute concat(
    'select string_agg(concat_ws('':'', s.row_id, s.row_version, ', bytes, '), '' '' order by s.row_id)
    from sessctl.ended_session as s
    join only public.user_sessions as u on u.ctid = s.row_id
    where s.row_id = any ($2) and s.ended_at < $1', ' and not (' || kept_by || ')')
    into candidates using cutoff, slice."rows";
end
$$;

-- One batch of a cleanup: deletes about max_rows sessions that ended before the cutoff.
-- "position": null at first, then what the batch before gave back. skipped: another run is running.
create or replace function sessctl.cleanup_batch(
  cutoff timestamptz,
  max_rows integer,
  inout "position" text default null,
  out affected integer,
  out finished boolean,
  out skipped boolean,
  out kept integer
)
language plpgsql
set search_path = ''
as $$
declare
  slice record;
begin
  perform sessctl.require_all_rows();
  affected := 0;
  finished := false;
  skipped := not sessctl.lock_job('cleanup');
  if skipped then
    return;
  end if;
  slice := sessctl.cleanup_slice(cutoff, max_rows, "position");
  select d.affected, d.kept into affected, kept
  from sessctl.cleanup_delete(cutoff, slice.from_time, slice.to_time, slice.from_row, slice.to_row, null) as d;
  "position" := slice.next_position;
  finished := "position" is null;
end
$$;

-- The sessions of a cleanup's next slice, where a batch of it failed and must be divided, and where the slice behind it begins.
create or replace function sessctl.cleanup_candidates(
  cutoff timestamptz,
  max_rows integer,
  "position" text,
  out "rows" tid[],
  out next_position text
)
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
as $$
declare
  slice record;
begin
  slice := sessctl.cleanup_slice(cutoff, max_rows, "position");
  next_position := slice.next_position;
  if slice.from_row is null then
    "rows" := array(
      select s.row_id from sessctl.ended_session as s where s.ended_at >= slice.from_time and s.ended_at < slice.to_time
    );
  else
    "rows" := array(
      select s.row_id
      from sessctl.ended_session as s
      where s.row_id >= slice.from_row and s.row_id < slice.to_row and s.ended_at < cutoff
    );
  end if;
end
$$;

-- What anonymize removes: ip is remove, or truncate, which keeps the first 24 bits of an IPv4 address and 48 of an IPv6 one; keep
-- names what stays, of user-agent and location.
create or replace function sessctl.anonymize_removes(ip text, keep text[])
returns text[]
language plpgsql
immutable
set search_path = ''
as $$
begin
  if ip is null or ip not in ('remove', 'truncate') then
    raise exception 'ip must be remove or truncate, not %', coalesce(ip, 'null') using errcode = 'invalid_parameter_value';
  end if;
  if not coalesce(keep, '{}') <@ array['user-agent', 'location'] then
    raise exception 'keep is a list of user-agent and location, not %', keep using errcode = 'invalid_parameter_value';
  end if;
  return array(
    select r.name
    from unnest(array['address', 'host', 'user-agent', 'location']) with ordinality as r (name, place)
    where r.name <> all (coalesce(keep, '{}')) and not (r.name = 'address' and ip = 'truncate')
    order by r.place
  );
end
$$;

-- Where a scan of anonymize begins: where the last one stopped, -infinity where a week has passed since one began at the beginning,
-- or where this run removes what that one left.
create or replace function sessctl.anonymize_from(removes text[])
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  return coalesce((
    select j.resume_at
    from sessctl.job as j
    where j.name = 'anonymize' and j.full_at > now() - interval '7 days' and j.removes @> anonymize_from.removes
  ), '-infinity');
end
$$;

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

-- The sessions of anonymize's next slice, in the order of sessctl.cleanup_slice. "position": null at the beginning of a scan.
-- from_time, to_time: where the slice is one of time.
create or replace function sessctl.anonymize_candidates(
  cutoff timestamptz,
  max_rows integer,
  "position" text,
  removes text[],
  out "rows" tid[],
  out next_position text,
  out from_time timestamptz,
  out to_time timestamptz
)
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
declare
  slice record;
begin
  "position" := coalesce("position", nullif(sessctl.anonymize_from(removes), '-infinity')::text);
  slice := sessctl.cleanup_slice(cutoff, max_rows, "position");
  if slice.from_row is not null and "position" not like '(%' then
    -- Many ended at one moment, as a sweep does it. A larger slice is less than the whole table, block by block.
    slice := sessctl.cleanup_slice(cutoff, greatest(max_rows, 25000), "position");
  end if;
  next_position := slice.next_position;
  from_time := slice.from_time;
  to_time := slice.to_time;
  if slice.from_row is null then
    "rows" := array(
      select s.row_id
      from sessctl.ended_personal as s
      where s.ended_at >= slice.from_time and s.ended_at < slice.to_time and not s.is_implausible and s.personal && removes
    );
  else
    "rows" := array(
      select s.row_id
      from sessctl.ended_personal as s
      where s.row_id >= slice.from_row and s.row_id < slice.to_row and s.ended_at < cutoff
        and not s.is_implausible and s.personal && removes
    );
  end if;
end
$$;

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

-- One batch of anonymize: its next slice, or the sessions listed in "rows". is_clean: this was the last slice, and the run did all
-- that it met. The resume point moves behind a slice that is done, as long as all before it are. The caller holds the job's lock.
create or replace function sessctl.anonymize_batch(
  cutoff timestamptz,
  max_rows integer,
  removes text[],
  inout "position" text,
  "rows" tid[] default null,
  out affected integer,
  out is_clean boolean
)
language plpgsql
set search_path = ''
as $$
declare
  slice record;
  from_time constant timestamptz := sessctl.anonymize_from(removes);
begin
  update sessctl.job as j
  set resume_at = from_time, removes = anonymize_batch.removes, full_at = case when from_time = '-infinity' then now() else j.full_at end
  where j.name = 'anonymize' and (j.resume_at is distinct from from_time or j.removes is distinct from anonymize_batch.removes);
  is_clean := false;
  if "rows" is not null then
    affected := sessctl.anonymize_rows(cutoff, "rows", removes);
    return;
  end if;
  slice := sessctl.anonymize_candidates(cutoff, max_rows, "position", removes);
  affected := sessctl.anonymize_rows(cutoff, slice."rows", removes);
  if affected = cardinality(slice."rows") then
    update sessctl.job as j
    set resume_at = slice.to_time
    where j.name = 'anonymize' and j.resume_at = slice.from_time and slice.to_time > slice.from_time;
  end if;
  "position" := slice.next_position;
  is_clean := "position" is null and sessctl.anonymize_is_done(cutoff);
end
$$;

-- Whether the resume point is behind all that ended before the cutoff.
create or replace function sessctl.anonymize_is_done(cutoff timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (select from sessctl.job as j where j.name = 'anonymize' and j.resume_at >= cutoff);
end
$$;

-- What a run leaves that is due: sessions whose rows are locked by others, and sessions that nobody holds and that are due all the
-- same. At most 10,000 of each are counted. prevented_by: what may have kept a statement from them.
create or replace function sessctl.preventing_triggers(event text)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select string_agg(o.name, ', ' order by o.name)
    from (
      -- BEFORE and for each row (3), on DELETE (8) or UPDATE (16).
      select format('trigger %s', t.tgname) as name
      from pg_catalog.pg_trigger as t
      where t.tgrelid = 'public.user_sessions'::regclass and not t.tgisinternal and t.tgenabled in ('O', 'A')
        and t.tgtype & 3 = 3 and t.tgtype & case event when 'delete' then 8 else 16 end > 0
        and t.tgname <> 'update_user_sessions_updated_at'
      union all
      select format('rule %s', w.rulename)
      from pg_catalog.pg_rewrite as w
      where w.ev_class = 'public.user_sessions'::regclass and w.ev_enabled in ('O', 'A')
        and w.ev_type = case event when 'delete' then '4' else '2' end
    ) as o
  );
end
$$;

create or replace function sessctl.end_inactive_leftovers(
  cutoff timestamptz,
  include_idle boolean,
  out locked bigint,
  out free bigint,
  out prevented_by text
)
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
set lock_timeout = '1s'
as $$
begin
  free := (
    select count(*)
    from (
      select from sessctl.session_last_seen as s
      where s.last_seen < cutoff and (s.status = 'active' or include_idle and s.status = 'idle')
      limit 10000
      for update skip locked
    ) as held
  );
  locked := (
    select count(*)
    from (
      select from sessctl.session_last_seen as s
      where s.last_seen < cutoff and (s.status = 'active' or include_idle and s.status = 'idle')
      limit 10000
    ) as due
  ) - free;
  prevented_by := sessctl.preventing_triggers('update');
end
$$;

create or replace function sessctl.settle_leftovers(out locked bigint, out free bigint, out prevented_by text)
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
set lock_timeout = '1s'
as $$
begin
  free := (
    select count(*)
    from (
      select from sessctl.ended_last_seen as s where s.is_implausible limit 10000 for update skip locked
    ) as held
  );
  locked := (
    select count(*) from (select from sessctl.ended_last_seen as s where s.is_implausible limit 10000) as due
  ) - free;
  prevented_by := sessctl.preventing_triggers('update');
end
$$;

create or replace function sessctl.cleanup_leftovers(
  cutoff timestamptz,
  out locked bigint,
  out free bigint,
  out kept bigint,
  out kept_by text,
  out prevented_by text
)
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
set lock_timeout = '1s'
as $$
declare
  condition constant text := sessctl.kept_by_reference();
  wanted constant text := concat('from sessctl.ended_session as s where s.ended_at < $1', ' and not (' || condition || ')');
begin
  execute concat('select count(*) from (select ', wanted, ' limit 10000 for update of s skip locked) as held') into free using cutoff;
  execute concat('select count(*) from (select ', wanted, ' limit 10000) as due') into locked using cutoff;
  locked := locked - free;
  kept := 0;
  if condition is not null then
    execute concat('select count(*) from sessctl.ended_session as s where s.ended_at < $1 and (', condition, ')') into kept using cutoff;
    kept_by := (
      select string_agg(format('constraint %s of table %s', f.conname, f.conrelid::regclass), ', ' order by f.conname)
      from pg_catalog.pg_constraint as f
      where f.contype = 'f' and f.confrelid = 'public.user_sessions'::regclass and f.conparentid = 0 and f.confdeltype in ('a', 'r')
    );
  end if;
  prevented_by := sessctl.preventing_triggers('delete');
end
$$;

-- From the resume point on. The planner chooses: it may be the whole table.
create or replace function sessctl.anonymize_leftovers(
  cutoff timestamptz,
  removes text[],
  out locked bigint,
  out free bigint,
  out prevented_by text
)
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set jit = off
set lock_timeout = '1s'
as $$
declare
  from_time constant timestamptz := sessctl.anonymize_from(removes);
begin
  free := (
    select count(*)
    from (
      select from sessctl.ended_personal as s
      where s.ended_at >= from_time and s.ended_at < cutoff and not s.is_implausible and s.personal && removes
      limit 10000
      for update skip locked
    ) as held
  );
  locked := (
    select count(*)
    from (
      select from sessctl.ended_personal as s
      where s.ended_at >= from_time and s.ended_at < cutoff and not s.is_implausible and s.personal && removes
      limit 10000
    ) as due
  ) - free;
  prevented_by := sessctl.preventing_triggers('update');
end
$$;

-- The run record. Each of these functions takes the run's own row, its job's advisory lock and its job's row, in this order.
-- They run beside every batch, and an idle run is little else: each is as few statements as it can be.

-- The advisory lock of a job, in the two numbers that such a lock has.
create or replace function sessctl.job_lock(job_name text, out class integer, out number integer)
language plpgsql
immutable
set search_path = ''
as $$
begin
  class := 1936028531;
  number := case job_name when 'end-inactive' then 2 when 'cleanup' then 3 when 'anonymize' then 4 end;
end
$$;

-- Takes the lock of a job, which keeps every other run of it out until the transaction ends. False: another run has it.
-- A run that lost its connection has a generation above 0: a transaction of its own may still hold the lock, which ends within
-- seconds. It is known by a second lock, which each transaction of a run shares, and is waited for: as long as lock_timeout says, then
-- lock_not_available is raised.
create or replace function sessctl.lock_job(job_name text, generation integer default 0, run_id uuid default null)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  lock constant record := sessctl.job_lock(job_name);
  run_lock constant bigint := uuid_hash_extended(run_id, 0);
begin
  perform pg_try_advisory_xact_lock_shared(run_lock);
  if pg_try_advisory_xact_lock(lock.class, lock.number) then
    return true;
  end if;
  if generation = 0 or coalesce(pg_try_advisory_xact_lock(run_lock), true) then
    return false;
  end if;
  perform pg_advisory_xact_lock(lock.class, lock.number);
  return true;
end
$$;

-- Whether this run is running: its record is unfinished, and made progress in the last minute. Null is not.
create or replace function sessctl.is_running(run_id uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  -- Nearly always so, and not worth a plan.
  if run_id is null then
    return false;
  end if;
  return exists (
    select from sessctl.run as r
    where r.id = run_id and r.outcome is null and r.progress_at > clock_timestamp() - interval '1 minute'
  );
end
$$;

-- The run of a job that keeps run_id out: what its record says, and the process that holds the job's lock. Times in seconds. Every role
-- sees the process; only some see since when it has been in a transaction. is_repeated: it has kept another run out before.
-- is_stuck: it has been running for so long that the work may never be done.
create or replace function sessctl.other_run(
  job_name text,
  run_id uuid default null,
  out source text,
  out role name,
  out "rows" bigint,
  out running_for bigint,
  out process integer,
  out in_transaction_for bigint,
  out is_repeated boolean,
  out is_stuck boolean
)
language plpgsql
stable
set search_path = ''
as $$
declare
  record_since timestamptz;
  transaction_since timestamptz;
begin
  select r.source, r.role, r.rows_done, r.started_at into source, role, "rows", record_since
  from sessctl.job as j
  join sessctl.run as r on r.id = j.running
  where j.name = job_name and j.running is distinct from run_id and sessctl.is_running(j.running);
  select l.pid, a.xact_start into process, transaction_since
  from pg_catalog.pg_locks as l
  cross join sessctl.job_lock(job_name) as k
  left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
  where l.locktype = 'advisory' and l.granted and l.classid = k.class::oid and l.objid = k.number::oid and l.objsubid = 2
    and l.pid <> pg_backend_pid()
    and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
  limit 1;
  "rows" := coalesce("rows", 0);
  running_for := extract(epoch from clock_timestamp() - record_since)::bigint;
  in_transaction_for := extract(epoch from clock_timestamp() - transaction_since)::bigint;
  is_repeated := exists (
    select from sessctl.run as s
    where s.job = job_name and s.outcome = 'skipped' and s.id is distinct from run_id
      and s.started_at > coalesce(record_since, transaction_since, clock_timestamp() - interval '1 hour')
  );
  is_stuck := coalesce(greatest(running_for, in_transaction_for) >= 15 * 60, false);
end
$$;

-- Removes what no longer counts: a record that stopped making progress is closed as lost, whose client is gone or stands still
-- (a batch of it that comes late finds the record closed); once a day, rows older than 30 days go, but not the job's last run
-- and last success.
create or replace function sessctl.run_tidy(run_id uuid, job_name text, stale uuid, pruned_at timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if stale <> run_id then
    with lost as (
      update sessctl.run as r
      set outcome = 'lost', finished_at = clock_timestamp(), generation = r.generation + 1
      where r.id = stale and r.outcome is null
      returning r.rows_done, r.rows_failed, r.finished_at
    )
    update sessctl.job as j
    set runs = j.runs + 1, failures = j.failures + 1, last_failure_at = lost.finished_at,
      rows_done = j.rows_done + lost.rows_done, rows_failed = j.rows_failed + lost.rows_failed
    from lost
    where j.name = job_name;
  end if;
  if pruned_at < now() - interval '1 day' then
    delete from sessctl.run as r
    using sessctl.job as j
    where j.name = r.job and r.started_at < now() - interval '30 days'
      and r.id is distinct from j.last_run and r.id is distinct from j.last_success and r.id is distinct from j.running;
    update sessctl.job as j set pruned_at = now() where j.name = job_name;
  end if;
end
$$;

-- Makes a run the one that is running. False: another one is. The caller holds the job's lock.
create or replace function sessctl.run_take_over(run_id uuid, job_name text, threshold integer)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  stale uuid;
  pruned_at timestamptz;
  table_id oid;
begin
  update sessctl.job as j
  set running = run_id, last_run = run_id, threshold = run_take_over.threshold, table_id = 'public.user_sessions'::regclass
  from sessctl.job as old
  where j.name = job_name and old.name = job_name and (old.running = run_id or not sessctl.is_running(old.running))
  returning old.running, old.pruned_at, old.table_id into stale, pruned_at, table_id;
  if not found then
    -- A copy of the schema without rows has no row of the job.
    insert into sessctl.job (name) values (job_name) on conflict (name) do nothing;
    return found and sessctl.run_take_over(run_id, job_name, threshold);
  end if;
  if table_id is distinct from 'public.user_sessions'::regclass then
    perform sessctl.require_table();
  end if;
  if stale <> run_id or pruned_at < now() - interval '1 day' then
    perform sessctl.run_tidy(run_id, job_name, stale, pruned_at);
  end if;
  return true;
end
$$;

-- Begins a batch: writes the run's record, so that its row is locked until the batch ends, then takes the job's lock.
-- False: another run is running, or took this one's place; the record says so. An error (SQLSTATE SC001): the run continues
-- over another connection, and this batch must not count.
create or replace function sessctl.run_begin_batch(
  run_id uuid,
  job_name text,
  source text,
  generation integer,
  cutoff timestamptz,
  threshold integer
)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  is_first boolean;
  stored_generation integer;
  stored_outcome text;
begin
  insert into sessctl.run as r (id, job, source, generation, cutoff)
  values (run_id, job_name, source, generation, cutoff)
  on conflict (id) do update set progress_at = clock_timestamp()
  returning r.xmax = 0, r.generation, r.outcome into is_first, stored_generation, stored_outcome;
  if stored_outcome is not null then
    return false;
  end if;
  if stored_generation <> generation then
    raise exception 'run % continues over another connection', run_id using errcode = 'SC001';
  end if;
  -- The job's row knows a run from its first batch on, unless the record was made again after a lost connection.
  if sessctl.lock_job(job_name, generation, run_id)
    and (not is_first and generation = 0 or sessctl.run_take_over(run_id, job_name, threshold))
  then
    return true;
  end if;
  update sessctl.run as r set outcome = 'skipped', finished_at = clock_timestamp() where r.id = run_id;
  return false;
end
$$;

-- Adds a batch to its run, in the batch's transaction.
create or replace function sessctl.run_add(
  run_id uuid,
  done bigint,
  settled bigint default 0,
  out batches integer,
  out rows_done bigint,
  out rows_settled bigint
)
language plpgsql
set search_path = ''
as $$
begin
  update sessctl.run as r
  set rows_done = r.rows_done + done, rows_settled = r.rows_settled + settled, batches = r.batches + 1,
    progress_at = clock_timestamp()
  where r.id = run_id
  returning r.batches, r.rows_done, r.rows_settled into batches, rows_done, rows_settled;
end
$$;

-- A run that finds nothing to do, recorded. include_idle: of a sweep. archives: a cleanup with an archive; one without it fails
-- where the database requires one. False: another run is running.
create or replace function sessctl.run_idle(
  run_id uuid,
  job_name text,
  source text,
  cutoff timestamptz,
  threshold integer,
  generation integer default 0,
  include_idle boolean default null,
  archives boolean default false
)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  -- Nearly always nothing stands in the way, and one statement does it.
  if sessctl.lock_job(job_name, generation, run_id) then
    with counted as (
      update sessctl.job as j
      set last_run = run_id, last_success = run_id, last_success_at = clock_timestamp(), runs = j.runs + 1,
        threshold = run_idle.threshold, include_idle = coalesce(run_idle.include_idle, j.include_idle)
      where j.name = job_name and j.running is null and j.pruned_at > now() - interval '1 day'
        and j.table_id = 'public.user_sessions'::regclass and j.last_run is distinct from run_id
        and (archives or not j.archive_required)
      returning true
    )
    insert into sessctl.run (id, job, source, cutoff, finished_at, outcome)
    select run_id, job_name, source, cutoff, clock_timestamp(), 'done' from counted;
    if found then
      return true;
    end if;
  end if;
  if job_name = 'cleanup' and not archives then
    perform sessctl.require_archive();
  end if;
  if sessctl.run_begin_batch(run_id, job_name, source, generation, cutoff, threshold) then
    perform sessctl.run_finish(run_id, 'done'), sessctl.note_include_idle(include_idle);
    return true;
  end if;
  -- Done: recorded before, and the answer was lost.
  return (select r.outcome = 'done' from sessctl.run as r where r.id = run_id);
end
$$;

-- After a lost connection: waits for a batch that the old one has still running, keeps out any that comes later, and says what
-- the run has done. A record that is gone (a failover lost it, and the batches with it) begins again at nothing.
create or replace function sessctl.run_fence(
  run_id uuid,
  job_name text,
  source text,
  inout generation integer,
  cutoff timestamptz,
  out batches integer,
  out rows_done bigint,
  out rows_settled bigint
)
language sql
set search_path = ''
as $$
  insert into sessctl.run as r (id, job, source, generation, cutoff)
  values (run_id, job_name, source, generation + 1, cutoff)
  on conflict (id) do update set generation = greatest(r.generation + 1, excluded.generation), progress_at = clock_timestamp()
  returning r.generation, r.batches, r.rows_done, r.rows_settled
$$;

-- Ends a run, once: a second call, after a lost answer, changes nothing. Gives back the record.
create or replace function sessctl.run_finish(
  run_id uuid,
  outcome text,
  rows_left bigint default null,
  message text default null,
  rows_failed bigint default 0,
  out batches integer,
  out rows_done bigint,
  out rows_settled bigint
)
language plpgsql
set search_path = ''
as $$
begin
  with finished as (
    update sessctl.run as r
    set outcome = run_finish.outcome, rows_left = run_finish.rows_left, rows_failed = run_finish.rows_failed,
      message = run_finish.message, finished_at = clock_timestamp(), progress_at = clock_timestamp()
    where r.id = run_id and r.outcome is null
    returning r.job, r.cutoff, r.started_at, r.finished_at, r.batches, r.rows_done, r.rows_settled, r.rows_failed
  ), counted as (
    update sessctl.job as j
    set running = nullif(j.running, run_id), runs = j.runs + 1,
      rows_done = j.rows_done + f.rows_done, rows_failed = j.rows_failed + f.rows_failed,
      -- The job's row does not know a run whose first batch failed.
      last_run = case
        when exists (select from sessctl.run as l where l.id = j.last_run and l.started_at > f.started_at) then j.last_run
        else run_id
      end,
      failures = j.failures + (run_finish.outcome = 'failed')::integer,
      resume_at = case
        when j.name = 'anonymize' and run_finish.outcome = 'done' and run_finish.rows_left is null then greatest(j.resume_at, f.cutoff)
        else j.resume_at
      end,
      last_failure_at = case when run_finish.outcome = 'failed' then f.finished_at else j.last_failure_at end,
      last_success = case when run_finish.outcome = 'done' then run_id else j.last_success end,
      last_success_at = case when run_finish.outcome = 'done' then f.finished_at else j.last_success_at end
    from finished as f
    where j.name = f.job
  )
  select f.batches, f.rows_done, f.rows_settled into batches, rows_done, rows_settled from finished as f;
  if not found then
    select r.batches, r.rows_done, r.rows_settled into batches, rows_done, rows_settled from sessctl.run as r where r.id = run_id;
  end if;
end
$$;

-- How far physical replicas are behind: where the log ends here and which place the last of them has replayed, in bytes, and the
-- longest delay that one reported, in seconds. Null without any.
create or replace function sessctl.replicas(out written bigint, out replayed bigint, out seconds double precision)
language plpgsql
stable
set search_path = ''
as $$
declare
  hidden bigint;
begin
  select min(r.replay_lsn - '0/0')::bigint, extract(epoch from max(r.replay_lag))::double precision, count(*) filter (where r.state is null)
  into replayed, seconds, hidden
  from pg_catalog.pg_stat_replication as r
  where not exists (
    select from pg_catalog.pg_replication_slots as s where s.active_pid = r.pid and s.slot_type = 'logical'
  );
  if hidden > 0 then
    raise exception 'role "%" can''t see how far the replicas are behind', current_user
      using errcode = 'insufficient_privilege', hint = 'It needs: grant pg_read_all_stats to ' || quote_ident(current_user) || '.';
  end if;
  written := (pg_current_wal_lsn() - '0/0')::bigint;
end
$$;

-- The minutes or days of a job's newest run; null before the first. A function, so that a run without work need not plan it.
create or replace function sessctl.last_threshold(job_name text)
returns integer
language sql
stable
set search_path = ''
as $$
  select j.threshold from sessctl.job as j where j.name = job_name
$$;

-- Notes whether sweeps end idle sessions too: without one that does, nothing ends them. Null: nothing is noted.
create or replace function sessctl.note_include_idle(include_idle boolean)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update sessctl.job as j
  set include_idle = note_include_idle.include_idle
  where j.name = 'end-inactive' and j.include_idle <> note_include_idle.include_idle;
end
$$;

-- One batch of a job's settling with its record. affected: by this batch; batches, rows_done and rows_settled: by the whole run,
-- null where skipped.
create or replace function sessctl.settle_step(
  run_id uuid,
  job_name text,
  source text,
  generation integer,
  cutoff timestamptz,
  threshold integer,
  due tid[],
  include_idle boolean,
  out affected integer,
  out skipped boolean,
  out batches integer,
  out rows_done bigint,
  out rows_settled bigint
)
language plpgsql
set search_path = ''
as $$
begin
  affected := 0;
  skipped := not sessctl.run_begin_batch(run_id, job_name, source, generation, cutoff, threshold);
  if skipped then
    return;
  end if;
  if job_name = 'end-inactive' then
    perform sessctl.note_include_idle(include_idle);
  end if;
  affected := sessctl.settle_batch(due);
  select a.batches, a.rows_done, a.rows_settled into batches, rows_done, rows_settled
  from sessctl.run_add(run_id, 0, affected) as a;
end
$$;

-- One batch of a sweep with its record. affected: by this batch; batches and rows_done: by the whole run, null where skipped.
create or replace function sessctl.end_inactive_step(
  run_id uuid,
  source text,
  generation integer,
  cutoff timestamptz,
  minutes integer,
  due tid[],
  include_idle boolean,
  at_last_seen boolean,
  out affected integer,
  out skipped boolean,
  out batches integer,
  out rows_done bigint
)
language plpgsql
set search_path = ''
as $$
begin
  affected := 0;
  skipped := not sessctl.run_begin_batch(run_id, 'end-inactive', source, generation, cutoff, minutes);
  if skipped then
    return;
  end if;
  perform sessctl.note_include_idle(include_idle);
  affected := (sessctl.end_inactive_batch(cutoff, due, include_idle, at_last_seen)).affected;
  select a.batches, a.rows_done into batches, rows_done from sessctl.run_add(run_id, affected) as a;
end
$$;

-- One batch of a cleanup with its record: the next slice, or the sessions listed in "rows", with the versions that were archived.
create or replace function sessctl.cleanup_step(
  run_id uuid,
  source text,
  generation integer,
  cutoff timestamptz,
  days integer,
  max_rows integer,
  inout "position" text,
  "rows" tid[] default null,
  row_versions xid[] default null,
  ids uuid[] default null,
  out affected integer,
  out kept integer,
  out finished boolean,
  out skipped boolean,
  out batches integer,
  out rows_done bigint
)
language plpgsql
set search_path = ''
as $$
declare
  batch record;
begin
  affected := 0;
  finished := false;
  skipped := not sessctl.run_begin_batch(run_id, 'cleanup', source, generation, cutoff, days);
  if skipped then
    return;
  end if;
  if "rows" is null then
    batch := sessctl.cleanup_batch(cutoff, max_rows, "position");
    "position" := batch."position";
    finished := batch.finished;
  else
    perform sessctl.require_all_rows();
    batch := sessctl.cleanup_delete(cutoff, null, null, null, null, "rows", row_versions, ids);
  end if;
  affected := batch.affected;
  kept := batch.kept;
  select a.batches, a.rows_done into batches, rows_done from sessctl.run_add(run_id, affected) as a;
end
$$;

-- One batch of anonymize with its record: the next slice, or the sessions listed in "rows".
create or replace function sessctl.anonymize_step(
  run_id uuid,
  source text,
  generation integer,
  cutoff timestamptz,
  days integer,
  max_rows integer,
  removes text[],
  inout "position" text,
  "rows" tid[] default null,
  out affected integer,
  out finished boolean,
  out is_clean boolean,
  out skipped boolean,
  out batches integer,
  out rows_done bigint
)
language plpgsql
set search_path = ''
as $$
begin
  affected := 0;
  finished := false;
  is_clean := false;
  skipped := not sessctl.run_begin_batch(run_id, 'anonymize', source, generation, cutoff, days);
  if skipped then
    return;
  end if;
  select b."position", b.affected, b.is_clean into "position", affected, is_clean
  from sessctl.anonymize_batch(cutoff, max_rows, removes, "position", "rows") as b;
  finished := "rows" is null and "position" is null;
  select a.batches, a.rows_done into batches, rows_done from sessctl.run_add(run_id, affected) as a;
end
$$;

-- What started this session's run: pg_cron, api (a request of PostgREST) or sql (any other session).
create or replace function sessctl.run_source()
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return case
    when current_setting('application_name') like 'pg\_cron%'
      or (select a.backend_type from pg_catalog.pg_stat_get_activity(pg_backend_pid()) as a) = 'pg_cron' then 'pg_cron'
    when current_setting('request.jwt.claims', true) <> '' then 'api'
    else 'sql'
  end;
end
$$;

-- The runs of the database itself: the procedures sessctl.run_end_inactive and sessctl.run_cleanup, which commit after each batch,
-- and the functions sessctl.end_inactive and sessctl.cleanup, which are part of the caller's transaction. Between two batches "run"
-- is all that such a run knows, and "rows" the sessions listed for its next batches. Each batch is a subtransaction, so that
-- the sessions that fail are left out. An error that no other batch can avoid ends the run, and so does a cancel at once:
-- the batches before it stay where they are committed.

-- Begins such a run: its limits, and its first list. Null where nothing is due: then it is recorded. Ended sessions with an
-- implausible ended_at are settled first.
-- options: include_idle or keep_referenced, as the job has it; removes: of anonymize. max_runtime: of a procedure.
create or replace function sessctl.run_start(
  job_name text,
  threshold integer,
  option boolean,
  max_rows bigint,
  commits boolean,
  max_runtime interval,
  removes text[] default null,
  out run jsonb,
  out "rows" tid[]
)
language plpgsql
set search_path = ''
as $$
declare
  cutoff constant timestamptz := case job_name
    when 'end-inactive' then sessctl.end_inactive_cutoff(threshold) else sessctl.cleanup_cutoff(threshold) end;
  run_id constant uuid := gen_random_uuid();
  list_size constant integer := 50000;
  is_settling boolean;
  statement_limit interval;
  transaction_limit interval;
  until timestamptz;
  target double precision;
begin
  "rows" := sessctl.settle_due(list_size);
  is_settling := "rows" <> '{}'::tid[];
  if not is_settling and job_name = 'cleanup' then
    "rows" := case when not sessctl.cleanup_is_due(cutoff) then '{}'::tid[] end;
  elsif not is_settling and job_name = 'anonymize' then
    "rows" := case when not sessctl.anonymize_is_due(cutoff, removes) then '{}'::tid[] end;
  elsif not is_settling then
    "rows" := sessctl.end_inactive_due(cutoff, list_size, option);
  end if;
  if "rows" = '{}'::tid[] then
    if not sessctl.run_idle(
      run_id, job_name, sessctl.run_source(), cutoff, threshold, 0, case when job_name = 'end-inactive' then option end
    ) then
      raise notice 'another run of % is running', job_name;
    end if;
    return;
  end if;
  select
    make_interval(secs => max(s.milliseconds / 1000) filter (where s.name = 'statement_timeout')),
    make_interval(secs => max(s.milliseconds / 1000) filter (where s.name = 'transaction_timeout'))
  into statement_limit, transaction_limit
  from (
    -- 0 is none.
    select g.name, nullif(g.setting, '0')::double precision as milliseconds
    from pg_catalog.pg_settings as g
    where g.name in ('statement_timeout', 'transaction_timeout')
  ) as s;
  if commits then
    until := statement_timestamp() + least(max_runtime, statement_limit * 0.8);
    target := least(0.125, extract(epoch from transaction_limit)::double precision / 16);
  else
    until := least(statement_timestamp() + statement_limit / 2, now() + transaction_limit / 2);
    target := extract(epoch from until - statement_timestamp())::double precision / 8;
  end if;
  run := jsonb_build_object(
    'id', run_id, 'job', job_name, 'source', sessctl.run_source(), 'cutoff', cutoff, 'threshold', threshold, 'option', option,
    'removes', removes, 'commits', commits, 'max_rows', max_rows, 'until', until, 'target', target,
    -- Rows that are slow must not meet a timeout in the first batch.
    'size', 25,
    'max_size', case when not commits then 1000000 when job_name = 'cleanup' then 25000 else 5000 end,
    'is_settling', is_settling, 'settled', 0, 'left_unsettled', 0, 'earlier_reasons', '{}'::jsonb,
    'at', 1, 'listed_all', cardinality("rows") < list_size, 'is_scanned', false, 'taken', 0, 'done', 0, 'scan_done', 0,
    'idle_scans', 0, 'failing', 0, 'skips', 0, 'put_off', '[]'::jsonb, 'failed', 0, 'reasons', '{}'::jsonb, 'kept', 0,
    'longest', 0, 'subtransactions', 0, 'tries', 0
  );
end
$$;

-- Tries a batch: the listed sessions, or a cleanup's next slice. job_name: null for a batch of sessions to settle. code: the SQLSTATE
-- that it failed with; reason: why, without what a row holds; is_elsewhere: in a function that is not sessctl's. A cancel and a
-- statement_timeout are not caught.
create or replace function sessctl.run_try(
  job_name text,
  cutoff timestamptz,
  option boolean,
  max_rows integer,
  inout "position" text,
  part tid[],
  removes text[] default null,
  out affected integer,
  out kept integer,
  out code text,
  out reason text,
  out is_elsewhere boolean
)
language plpgsql
set search_path = ''
as $$
declare
  constraint_name text;
  table_name text;
  context text;
  raised_by text;
begin
  affected := 0;
  kept := 0;
  if job_name is null then
    affected := sessctl.settle_batch(part);
  elsif job_name = 'end-inactive' then
    affected := (sessctl.end_inactive_batch(cutoff, part, option)).affected;
  elsif job_name = 'anonymize' then
    select b."position", b.affected into "position", affected
    from sessctl.anonymize_batch(cutoff, max_rows, removes, "position", part) as b;
  elsif part is null then
    select b."position", b.affected, b.kept into "position", affected, kept
    from sessctl.cleanup_batch(cutoff, max_rows, "position") as b;
  else
    perform sessctl.require_all_rows();
    select d.affected, d.kept into affected, kept from sessctl.cleanup_delete(cutoff, null, null, null, null, part) as d;
  end if;
exception
  when others or assert_failure then
    get stacked diagnostics code = returned_sqlstate, reason = message_text, constraint_name = constraint_name,
      table_name = table_name, context = pg_exception_context;
    if split_part(context, E'\n', 1) ~ ' at RAISE$' and context !~ '^PL/pgSQL function sessctl\.' then
      -- Whatever a trigger raises is about a row.
      code := 'P0001';
    end if;
    raised_by := substring(
      split_part(context, 'PL/pgSQL function sessctl.', 1)
      from 'PL/pgSQL function ((?!public\.(?:calculate_session_duration|update_user_sessions_updated_at_column)\().+?) line ');
    is_elsewhere := raised_by is not null;
    reason := case
      when code = 'SC002' then 'a row of another table that refers to it is locked'
      when constraint_name <> '' and table_name <> '' then format('constraint %s of table %s', constraint_name, table_name)
      when raised_by is not null then format('function %s: %s', raised_by, reason)
      else reason
    end;
    reason := regexp_replace(reason, '[[:cntrl:]]+', ' ', 'g');
end
$$;

-- The sessions of the next slice of a job that has slices.
create or replace function sessctl.run_slice(
  job_name text,
  cutoff timestamptz,
  max_rows integer,
  "position" text,
  removes text[],
  out "rows" tid[],
  out next_position text
)
language plpgsql
stable
set search_path = ''
as $$
begin
  if job_name = 'anonymize' then
    select c."rows", c.next_position into "rows", next_position
    from sessctl.anonymize_candidates(cutoff, max_rows, "position", removes) as c;
  else
    select c."rows", c.next_position into "rows", next_position from sessctl.cleanup_candidates(cutoff, max_rows, "position") as c;
  end if;
end
$$;

-- The next batch of a run, or its end. more: whether it goes on; failure: why the run failed, where it did.
create or replace function sessctl.run_next(inout run jsonb, inout "rows" tid[], out more boolean, out failure text)
language plpgsql
set search_path = ''
as $$
declare
  list_size constant integer := 50000;
  max_subtransactions constant integer := 32;
  -- In a row: at first, and until one works. Then the next sessions are put off, 25 of them at first and twice as many each time.
  -- Those put off are tried at the end, in no order: there may be others among them. In the caller's transaction attempts are few.
  max_failing constant integer[] := case when (run ->> 'commits')::boolean then array[20, 3] else array[2, 1] end;
  max_put_off constant integer := 2000;
  not_tried constant text := 'not tried, after many failures among the sessions beside them';
  max_named constant integer := 5;
  s record;
  part tid[];
  part_size integer;
  listed tid[];
  tried record;
  leftover record;
  begun timestamptz;
  took double precision;
  outcome text;
  rows_left bigint;
  reason text;
  session uuid;
  skipped integer;
  put_off tid[];
  is_listed boolean;
  is_clean boolean;
begin
  select r.* into s
  from jsonb_to_record(run) as r (
    id uuid, job text, source text, cutoff timestamptz, threshold integer, option boolean, commits boolean, max_rows bigint,
    until timestamptz, target double precision, size integer, max_size integer, "position" text, at integer, listed_all boolean,
    is_settling boolean, settled bigint, left_unsettled bigint, earlier_reasons jsonb,
    is_scanned boolean, taken bigint, done bigint, scan_done bigint, idle_scans integer, slice_end integer, part_end integer,
    size_before integer, last_failing integer, failing integer, skips integer, put_off jsonb, failed bigint, reasons jsonb,
    kept bigint, longest double precision, subtransactions integer, tries integer, removes text[]
  );
  more := false;
  is_listed := s.is_settling or s.job = 'end-inactive';
  if not sessctl.run_begin_batch(s.id, s.job, s.source, 0, s.cutoff, s.threshold) then
    raise notice 'another run of % is running', s.job;
    select format(
      '%s: another run%s has been running for %s minutes%s', s.job,
      ', started by ' || o.source || ' as ' || o.role || ',', greatest(o.running_for, o.in_transaction_for) / 60,
      '; its server process is ' || o.process)
    into failure
    from sessctl.other_run(s.job, s.id) as o
    where o.is_stuck;
    return;
  end if;

  -- The limits.
  is_clean := s.is_scanned and s.failed = 0 and (
    is_listed and s.taken = s.scan_done or not s.is_settling and s.job = 'anonymize' and sessctl.anonymize_is_done(s.cutoff));
  if greatest(s.done, s.settled) >= s.max_rows and (is_listed or not s.is_scanned) then
    outcome := 'incomplete';
  elsif is_clean and not s.is_settling then
    outcome := 'done';
  elsif is_clean then
    null;
  elsif clock_timestamp() + make_interval(secs => 2 * s.longest) > s.until
    -- A batch is two subtransactions, three where rows are locked.
    or not s.commits and not s.is_scanned and s.subtransactions + 3 > max_subtransactions
  then
    outcome := 'incomplete';
  end if;

  if outcome is null and s.is_scanned then
    -- What is left that is due? Another scan, where this one did something and rows are left that nobody holds: a table that was
    -- rewritten has them elsewhere. What scans do not reach, a trigger or rule prevents.
    if is_clean then
      select 0::bigint as locked, 0::bigint as free, 0::bigint as kept, null::text as kept_by, null::text as prevented_by
      into leftover;
    elsif s.is_settling then
      select l.locked, l.free, 0::bigint as kept, null::text as kept_by, l.prevented_by into leftover
      from sessctl.settle_leftovers() as l;
    elsif s.job = 'end-inactive' then
      select l.locked, l.free, 0::bigint as kept, null::text as kept_by, l.prevented_by into leftover
      from sessctl.end_inactive_leftovers(s.cutoff, s.option) as l;
    elsif s.job = 'anonymize' then
      select l.locked, l.free, 0::bigint as kept, null::text as kept_by, l.prevented_by into leftover
      from sessctl.anonymize_leftovers(s.cutoff, s.removes) as l;
    else
      select l.locked, l.free, l.kept, l.kept_by, l.prevented_by into leftover
      from sessctl.cleanup_leftovers(s.cutoff) as l
      where sessctl.cleanup_is_left(s.cutoff);
    end if;
    leftover.free := greatest(leftover.free - s.failed, 0);
    s.idle_scans := case when s.scan_done = 0 then s.idle_scans + 1 else 0 end;
    if leftover.free > 0 and s.idle_scans < (case when s.commits then 3 else 1 end) then
      -- Those that failed are met again.
      s.reasons := s.earlier_reasons;
    else
      rows_left := coalesce(leftover.locked, 0) + case when leftover.prevented_by is null then leftover.free else 0 end;
      if leftover.prevented_by is not null then
        s.reasons := sessctl.run_add_reason(s.reasons, format(
          '%s on user_sessions prevented their %s', leftover.prevented_by,
          case when is_listed or s.job = 'anonymize' then 'update' else 'deletion' end), leftover.free, null);
      end if;
      if s.is_settling then
        s.left_unsettled := rows_left;
        s.earlier_reasons := s.reasons;
        s.is_settling := false;
        is_listed := s.job = 'end-inactive';
        s.idle_scans := 0;
      else
        outcome := 'done';
        s.kept := coalesce(leftover.kept, 0);
        reason := 'kept by ' || coalesce(leftover.kept_by, 'a foreign key');
      end if;
    end if;
    if outcome is null then
      "rows" := case when is_listed then '{}'::tid[] end;
      s."position" := null;
      s.at := 1;
      s.listed_all := false;
      s.is_scanned := false;
      s.taken := 0;
      s.scan_done := 0;
      s.failed := 0;
      s.kept := 0;
      s.put_off := '[]'::jsonb;
    end if;
  end if;

  if outcome is null then
    -- The next sessions of a list. The page of the last one comes again: those of it that were tried are left out.
    if is_listed and s.at > cardinality("rows") then
      listed := case
        when s.is_settling then sessctl.settle_due(greatest(list_size, s.size), "rows"[cardinality("rows")])
        else sessctl.end_inactive_due(s.cutoff, greatest(list_size, s.size), s.option, "rows"[cardinality("rows")])
      end;
      s.listed_all := cardinality(listed) < greatest(list_size, s.size);
      "rows" := array(
        select l.row_id
        from unnest(listed[:300]) with ordinality as l (row_id, place)
        where l.row_id <> all ("rows"[greatest(cardinality("rows") - 300, 1):])
        order by l.place
      ) || listed[301:];
      s.at := 1;
    end if;
    part_size := least(s.size, s.max_rows - case when s.is_settling then s.settled else s.done end)::integer;
    if "rows" is not null then
      part_size := least(part_size, coalesce(s.slice_end, cardinality("rows")) - s.at + 1);
      if s.part_end is not null then
        -- One of these rows fails: half of them.
        part_size := least(part_size, greatest((s.part_end - s.at + 1) / 2, 1));
      end if;
      part := "rows"[s.at : s.at + part_size - 1];
    end if;
    begun := clock_timestamp();
    if part = '{}'::tid[] then
      s.is_scanned := s.listed_all;
    else
      select t.* into tried 
      from sessctl.run_try(
        case when not s.is_settling then s.job end, s.cutoff, s.option, part_size, s."position", part, s.removes) as t;
      took := extract(epoch from clock_timestamp() - begun)::double precision;
      s.longest := greatest(s.longest, took);
      s.subtransactions := s.subtransactions + case
        when took >= 0.05 and (tried.code is not null or tried.affected < part_size) then 3 else 2 end;

      if tried.code is null then
        if s.is_settling then
          s.settled := s.settled + tried.affected;
          perform sessctl.run_add(s.id, 0, tried.affected);
        else
          s.done := s.done + tried.affected;
          perform sessctl.run_add(s.id, tried.affected);
        end if;
        s.scan_done := s.scan_done + tried.affected;
        s.kept := s.kept + tried.kept;
        s.taken := s.taken + coalesce(cardinality(part), tried.affected);
        s.tries := 0;
        s.failing := 0;
        s.skips := 0;
        if "rows" is null then
          s."position" := tried."position";
          s.is_scanned := s."position" is null;
        else
          s.at := s.at + part_size;
        end if;
        if s.at > s.part_end then
          s.part_end := null;
        end if;
        if s.part_end is null then
          s.size := case
            when took < s.target / 4 or s.target is null then least(s.max_size, part_size * 4)
            when took < s.target then least(s.max_size, part_size * 2)
            when took > s.target * 4 then greatest(1, part_size / 2)
            else part_size
          end;
        end if;

      elsif tried.code in ('40001', '40P01', '55P03') and (s.commits and s.tries < 5 or s.done + s.settled > 0 and s.tries < 1) then
        -- Another transaction was in the way: the same again, and less of it.
        s.tries := s.tries + 1;
        s.size := greatest(1, part_size / 2);

      elsif tried.code ~ '^(0[1-9A]|2[5689]|3|4[0-3]|5|F|HV|XX)' and not (
        -- What a trigger's function lacks may be about some sessions: where others are done, or none was tried alone.
        tried.is_elsewhere and tried.code like '42%' and (s.done + s.settled > 0 or s.failed < 2 or part_size > 1)
      ) then
        -- No other batch would do better.
        if s.done + s.settled = 0 then
          s.reasons := s.earlier_reasons;
          s.failed := 0;
          s.put_off := '[]'::jsonb;
        end if;
        if not s.commits and (s.done + s.settled = 0 or tried.code not in ('40001', '40P01', '55P03')) then
          raise exception using errcode = tried.code, message = tried.reason;
        end if;
        outcome := case when s.commits then 'failed' else 'incomplete' end;
        failure := tried.reason;

      elsif not s.commits and s.failed > 0 and part_size > 1 then
        -- One session was sought out; in the caller's transaction there are no attempts for more. Less of the same, or what fails is put
        -- off as it is, and more each time; not as much as the last call, which has done what lies there.
        skipped := case when s.skips > 0 and s.put_off is not null then
          greatest(part_size, (25 * 2 ^ least(s.skips, 15) * (0.5 + random()))::integer) else part_size end;
        if part_size > 25 and s.skips = 0 then
          null;
        elsif "rows" is null then
          select c."rows", c.next_position into put_off, s."position"
          from sessctl.run_slice(s.job, s.cutoff, skipped, s."position", s.removes) as c;
          s.is_scanned := s."position" is null;
        else
          put_off := "rows"[s.at : s.at + skipped - 1];
          s.at := s.at + cardinality(put_off);
          s.slice_end := null;
          s.part_end := null;
          s.size_before := null;
        end if;
        s.tries := 0;
        s.size := greatest(part_size / 4, 1);

      elsif "rows" is null then
        -- The slice is divided: its sessions are listed.
        select c."rows", c.next_position into "rows", s."position"
        from sessctl.run_slice(s.job, s.cutoff, part_size, s."position", s.removes) as c;
        s.at := 1;
        s.size_before := part_size;
        s.slice_end := cardinality("rows");
        s.part_end := s.slice_end;
        s.last_failing := s.at;
        s.tries := 0;

      else
        s.size_before := coalesce(s.size_before, part_size);
        s.last_failing := case when s.slice_end is null then s.at else s.last_failing end;
        s.slice_end := coalesce(s.slice_end, least(
          s.at + greatest(part_size, (100 * 2 ^ least(s.skips, 10))::integer) - 1, cardinality("rows")));
        s.part_end := s.at + part_size - 1;
        s.tries := 0;
      end if;

      if tried.code is not null and outcome is null and s.tries = 0 and s.part_end = s.at and part_size = 1 then
        -- This session fails.
        session := (select u.id from only public.user_sessions as u where u.ctid = "rows"[s.at]);
        s.failed := s.failed + 1;
        s.failing := s.failing + 1;
        s.at := s.at + 1;
        s.part_end := null;
        -- As many as lay between this one and the one before it.
        s.size := greatest(least(s.size_before, s.at - 1 - s.last_failing), 1);
        s.last_failing := s.at;
        s.reasons := sessctl.run_add_reason(s.reasons, tried.reason, 1, case when s.failed <= max_named then session end);
      end if;

      if s.failing >= max_failing[case s.skips when 0 then 1 else 2 end] and s.slice_end >= s.at
        and (s.commits or s.put_off is not null)
      then
        put_off := "rows"[s.at : s.at + least(s.slice_end - s.at + 1, 25 * 2 ^ least(s.skips, 15))::integer - 1];
        s.at := s.at + cardinality(put_off);
        s.failing := 0;
        s.size := 1;
      end if;
      if put_off is not null then
        s.skips := s.skips + 1;
        if jsonb_array_length(s.put_off) + cardinality(put_off) <= max_put_off then
          s.put_off := s.put_off || to_jsonb(put_off);
        else
          s.reasons := sessctl.run_add_reason(s.reasons, not_tried, cardinality(put_off), null);
          s.failed := s.failed + cardinality(put_off);
        end if;
      end if;
      if s.at > s.slice_end then
        s.slice_end := null;
        s.part_end := null;
        s.size := least(s.max_size, greatest(s.size, s.size_before * case s.skips when 0 then 1 else 2 end));
        s.size_before := null;
      end if;
    end if;
    if s.at > cardinality("rows") then
      if is_listed then
        s.is_scanned := s.listed_all;
      else
        "rows" := null;
        s.at := 1;
        s.is_scanned := s."position" is null;
      end if;
    end if;
    if s.is_scanned and s.put_off <> '[]'::jsonb then
      "rows" := array(select p.place::tid from jsonb_array_elements_text(s.put_off) as p (place) order by random());
      s.at := 1;
      s.is_scanned := false;
      s.put_off := null;
      s.size := 1;
    end if;
  end if;

  if outcome is null then
    more := true;
    run := to_jsonb(s);
    if s.commits then
      -- The last commit waits for the disk, and flushes all before it.
      perform set_config('synchronous_commit', 'off', true);
    end if;
    return;
  end if;

  s.reasons := sessctl.run_add_reason(s.reasons, not_tried, jsonb_array_length(s.put_off), null);
  if not (s.job = 'cleanup' and s.option) then
    s.reasons := sessctl.run_add_reason(s.reasons, coalesce(reason, 'kept by a foreign key'), s.kept, null);
  end if;
  select sum((r.value ->> 'rows')::bigint)::bigint, string_agg(
    format(
      '%s session%s%s: %s',
      to_char((r.value ->> 'rows')::bigint, 'FM999,999,999,999'),
      case r.value ->> 'rows' when '1' then '' else 's' end,
      ' (' || nullif((select string_agg(i.id, ', ') from jsonb_array_elements_text(r.value -> 'ids') as i (id)), '') || ')', r.key),
    '; ' order by r.key)
  into s.failed, reason
  from jsonb_each(s.reasons) as r;
  if s.failed > 0 then
    failure := concat_ws('; ', reason, failure, case outcome when 'incomplete' then 'the run met its limit' end);
    outcome := 'failed';
  end if;
  if s.job = 'end-inactive' then
    perform sessctl.note_include_idle(s.option);
  end if;
  perform sessctl.run_finish(
    s.id, outcome, nullif(coalesce(rows_left, 0) + s.left_unsettled, 0), failure, coalesce(s.failed, 0));
  run := to_jsonb(s);
  failure := case when outcome = 'failed' then format('%s: %s', s.job, failure) end;
end
$$;

-- Adds sessions to the reasons why sessions are left, and the key of one.
create or replace function sessctl.run_add_reason(reasons jsonb, reason text, "rows" bigint, session uuid)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  if "rows" > 0 then
    reasons := reasons || jsonb_build_object(reason, jsonb_build_object(
      'rows', "rows" + coalesce((reasons -> reason ->> 'rows')::bigint, 0),
      'ids', coalesce(reasons -> reason -> 'ids', '[]'::jsonb)
        || case when session is null then '[]'::jsonb else jsonb_build_array(session) end
    ));
  end if;
  return reasons;
end
$$;

-- A run in the caller's transaction. Gives back how many sessions it did. It begins no batch that may not end within half of the
-- statement_timeout (or transaction_timeout); the next call goes on.
create or replace function sessctl.run_within(job_name text, threshold integer, option boolean, max_rows integer)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  step record;
begin
  select s.run, s."rows", s.run is not null as more, null::text as failure into step
  from sessctl.run_start(job_name, threshold, option, max_rows, false, null) as s;
  while step.more loop
    select n.run, n."rows", n.more, n.failure into step from sessctl.run_next(step.run, step."rows") as n;
  end loop;
  if step.failure is not null then
    raise warning '%', step.failure;
  end if;
  return coalesce((step.run ->> 'done')::integer, 0);
end
$$;

create or replace function sessctl.end_inactive(minutes integer, max_rows integer default null, include_idle boolean default false)
returns integer
language plpgsql
set search_path = ''
as $$
begin
  return sessctl.run_within('end-inactive', minutes, include_idle, max_rows);
end
$$;

create or replace function sessctl.cleanup(days integer, max_rows integer default null)
returns integer
language plpgsql
set search_path = ''
as $$
begin
  return sessctl.run_within('cleanup', days, false, max_rows);
end
$$;

-- A whole run that commits after each batch. A procedure that commits can't have a setting of its own, and whatever the caller's
-- search_path finds must not be called: each name here is qualified, and there is no operator.
create or replace procedure sessctl.run_to_end(
  job_name pg_catalog.text,
  threshold integer,
  option boolean,
  max_runtime interval,
  removes pg_catalog.text[] default null
)
language plpgsql
as $$
declare
  run pg_catalog.jsonb;
  "rows" pg_catalog.tid[];
  more boolean;
  failure pg_catalog.text;
begin
  -- The first transaction has the isolation level of the caller, and has begun. Within a transaction block this fails.
  commit;
  set transaction isolation level read committed;
  select s.run, s."rows" into run, "rows" from sessctl.run_start(job_name, threshold, option, null, true, max_runtime, removes) as s;
  more := run is not null;
  while more loop
    commit;
    set transaction isolation level read committed;
    select n.run, n."rows", n.more, n.failure into run, "rows", more, failure from sessctl.run_next(run, "rows") as n;
  end loop;
  commit;
  if failure is not null then
    raise exception '%', failure using errcode = 'SC003';
  end if;
end
$$;

-- What pg_cron calls, alone: in a transaction block they fail. They begin no batch after max_runtime, nor one that may not end
-- within the statement_timeout. An error at the end names the sessions that could not be done; all others are.
create or replace procedure sessctl.run_end_inactive(
  minutes integer,
  include_idle boolean default false,
  max_runtime interval default '4 minutes'
)
language plpgsql
as $$
begin
  call sessctl.run_to_end('end-inactive', minutes, include_idle, max_runtime);
end
$$;

-- keep_referenced: sessions that a foreign key of another table keeps are no failure.
create or replace procedure sessctl.run_cleanup(
  days integer,
  keep_referenced boolean default false,
  max_runtime interval default '4 minutes'
)
language plpgsql
as $$
begin
  call sessctl.run_to_end('cleanup', days, keep_referenced, max_runtime);
end
$$;

-- ip and keep: see sessctl.anonymize_removes.
create or replace procedure sessctl.run_anonymize(
  days integer,
  ip pg_catalog.text default 'remove',
  keep pg_catalog.text[] default '{}',
  max_runtime interval default '4 minutes'
)
language plpgsql
as $$
begin
  call sessctl.run_to_end('anonymize', days, false, max_runtime, sessctl.anonymize_removes(ip, keep));
end
$$;

-- Removes pg_cron's rows about runs of sessctl's jobs that ended so many days ago, as far as they are the caller's, and gives back
-- how many. A run that could not connect has no times: it is as old as the runs around it.
create or replace function sessctl.trim_cron_history(days integer)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  removed bigint;
begin
  if days is null or days not between 1 and 36500 then
    raise exception 'days must be from 1 to 36500, not %', coalesce(days::text, 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  -- As a text: most databases have no pg_cron.
  execute concat($sql$
    delete from cron.job_run_details as d
    where coalesce(d.end_time, d.start_time, '-infinity') < now() - $1
      and d.runid <= (select max(o.runid) from cron.job_run_details as o where o.end_time < now() - $1)
      and (
        d.jobid in (select j.jobid from cron.job as j where j.jobname like 'sessctl-%')
        or d.command ~ '^(call|select) sessctl\.' and d.jobid not in (select j.jobid from cron.job as j)
      )
  $sql$) using make_interval(days => days);
  get diagnostics removed = row_count;
  return removed;
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

-- What the team's sessctl.toml declares of the table, as migrate last applied it: platforms, end-reasons and without-indexes.
create table if not exists sessctl.declared (
  key text constraint declared_pkey primary key,
  list text[] not null,
  applied_at timestamptz not null default now()
);

-- Maintenance is for service_role and the owner, whatever default privileges gave to others.
revoke all on schema sessctl from public, anon, authenticated, service_role;
revoke all on all tables in schema sessctl from public, anon, authenticated, service_role;
revoke all on all routines in schema sessctl from public, anon, authenticated, service_role;
revoke all on function public.end_inactive_sessions(integer), public.cleanup_old_sessions(integer)
  from public, anon, authenticated, service_role;

-- The rights that maintenance needs, for a role of yours too: select sessctl.grant_maintenance('ROLE').
-- migrate calls it again for each role that has them, after every migration.
create or replace function sessctl.grant_maintenance(grantee regrole)
returns void
language plpgsql
set search_path = ''
as $$
begin
  execute format('grant usage on schema sessctl to %s', grantee);
  execute format('grant execute on all routines in schema sessctl to %s', grantee);
  execute format('grant select, update on sessctl.session_last_seen to %s', grantee);
  execute format('grant select, update, delete on sessctl.ended_last_seen, sessctl.ended_session to %s', grantee);
  execute format('grant select, update on sessctl.ended_personal to %s', grantee);
  execute format('grant select, insert, update, delete on sessctl.run to %s', grantee);
  execute format('grant select, insert, update on sessctl.job to %s', grantee);
  execute format('grant select, update, delete on public.user_sessions to %s', grantee);
  execute format(
    'grant execute on function public.end_inactive_sessions(integer), public.cleanup_old_sessions(integer),
      public.calculate_session_duration(timestamptz, timestamptz) to %s', grantee);
end
$$;
revoke all on function sessctl.grant_maintenance(regrole) from public, anon, authenticated, service_role;
select sessctl.grant_maintenance('service_role');

notify pgrst, 'reload schema';
