create or replace function sessctl.cleanup_leftovers(
  cutoff timestamptz,
  out locked bigint,
  out free bigint,
  out kept bigint,
  out prevented_by text
)
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
set lock_timeout = '1s'
as $$
declare
  kept_by constant text := sessctl.kept_by_reference();
  wanted constant text := concat('from sessctl.ended_session as s where s.ended_at < $1', ' and not (' || kept_by || ')');
begin
  execute concat('select count(*) from (select ', wanted, ' limit 10000 for update of s skip locked) as held') into free using cutoff;
  execute concat('select count(*) from (select ', wanted, ' limit 10000) as due') into locked using cutoff;
  locked := locked - free;
  kept := 0;
  if kept_by is not null then
    execute concat('select count(*) from sessctl.ended_session as s where s.ended_at < $1 and (', kept_by, ')') into kept using cutoff;
  end if;
  prevented_by := sessctl.preventing_triggers('delete');
end
$$;
