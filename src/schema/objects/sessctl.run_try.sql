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
