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
