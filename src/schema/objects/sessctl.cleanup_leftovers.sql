create or replace function sessctl.cleanup_leftovers(
  cutoff timestamptz,
  out locked bigint,
  out free bigint,
  out kept bigint,
  out kept_by text,
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
  condition constant text := sessctl.kept_by_reference();
  wanted constant text := concat('from sessctl.ended_session as s where s.ended_at < $1', ' and not (' || condition || ')');
begin
  execute concat('select count(*) from (select ', wanted, ' limit 10000 for update of s skip locked) as held') into free using cutoff;
  execute concat('select count(*) from (select ', wanted, ' limit 10000) as due') into locked using cutoff;
  locked := locked - free;
  kept := 0;
  if condition is not null then
    execute concat('select count(*) from sessctl.ended_session as s where s.ended_at < $1 and (', condition, ')') into kept using cutoff;
    kept_by := (
      select string_agg(format('constraint %s of table %s', f.conname, f.conrelid::regclass), ', ' order by f.conname)
      from pg_catalog.pg_constraint as f
      where f.contype = 'f' and f.confrelid = 'public.user_sessions'::regclass and f.conparentid = 0 and f.confdeltype in ('a', 'r')
    );
  end if;
  prevented_by := sessctl.preventing_triggers('delete');
end
$$;
