-- How far physical replicas are behind: where the log ends here and which place the last of them has replayed, in bytes, and the
-- longest delay that one reported, in seconds. Null without any.
create or replace function sessctl.replicas(out written bigint, out replayed bigint, out seconds double precision)
language plpgsql
stable
set search_path = ''
as $$
declare
  hidden bigint;
begin
  select min(r.replay_lsn - '0/0')::bigint, extract(epoch from max(r.replay_lag))::double precision, count(*) filter (where r.state is null)
  into replayed, seconds, hidden
  from pg_catalog.pg_stat_replication as r
  where not exists (
    select from pg_catalog.pg_replication_slots as s where s.active_pid = r.pid and s.slot_type = 'logical'
  );
  if hidden > 0 then
    raise exception 'role "%" can''t see how far the replicas are behind', current_user
      using errcode = 'insufficient_privilege', hint = 'It needs: grant pg_read_all_stats to ' || quote_ident(current_user) || '.';
  end if;
  written := (pg_current_wal_lsn() - '0/0')::bigint;
end
$$;
