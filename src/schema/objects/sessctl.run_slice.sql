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
