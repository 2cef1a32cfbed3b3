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
