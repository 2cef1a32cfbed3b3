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
