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
