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
