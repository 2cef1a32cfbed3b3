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
