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
