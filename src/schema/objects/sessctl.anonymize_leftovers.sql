-- From the resume point on. The planner chooses: it may be the whole table.
create or replace function sessctl.anonymize_leftovers(
  cutoff timestamptz,
  removes text[],
  out locked bigint,
  out free bigint,
  out prevented_by text
)
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set jit = off
set lock_timeout = '1s'
as $$
declare
  from_time constant timestamptz := sessctl.anonymize_from(removes);
begin
  free := (
    select count(*)
    from (
      select from sessctl.ended_personal as s
      where s.ended_at >= from_time and s.ended_at < cutoff and not s.is_implausible and s.personal && removes
      limit 10000
      for update skip locked
    ) as held
  );
  locked := (
    select count(*)
    from (
      select from sessctl.ended_personal as s
      where s.ended_at >= from_time and s.ended_at < cutoff and not s.is_implausible and s.personal && removes
      limit 10000
    ) as due
  ) - free;
  prevented_by := sessctl.preventing_triggers('update');
end
$$;
