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
