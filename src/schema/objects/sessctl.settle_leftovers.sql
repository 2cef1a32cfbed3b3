create or replace function sessctl.settle_leftovers(out locked bigint, out free bigint, out prevented_by text)
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
set lock_timeout = '1s'
as $$
begin
  free := (
    select count(*)
    from (
      select from sessctl.ended_last_seen as s where s.is_implausible limit 10000 for update skip locked
    ) as held
  );
  locked := (
    select count(*) from (select from sessctl.ended_last_seen as s where s.is_implausible limit 10000) as due
  ) - free;
  prevented_by := sessctl.preventing_triggers('update');
end
$$;
