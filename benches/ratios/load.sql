-- Fills public.user_sessions for a benchmark. Run as the superuser, in an empty table.
-- Settings: bench.ended, bench.active, bench.stale: how many sessions, the stale ones being part of the active.
-- bench.stored: time (stored as they ended, over 180 days), shuffled, or moment (all ended at once, 100 days ago).
-- Active sessions were seen now, the stale ones two days ago.

-- Without a look at auth.users for each row.
set session_replication_role = replica;

insert into auth.users (id)
select md5('user ' || n)::uuid
from generate_series(0, 19999) as n;

create temporary table later as
select i.indexname, i.indexdef
from pg_catalog.pg_indexes as i
where i.schemaname = 'public' and i.tablename = 'user_sessions'
  and i.indexname not in (select c.conname from pg_catalog.pg_constraint as c);

do $$
declare
  index_name text;
begin
  for index_name in select l.indexname from later as l loop
    execute format('drop index public.%I', index_name);
  end loop;
end
$$;

insert into public.user_sessions (
  user_id, session_id, platform, status, end_reason, started_at, last_activity_at, last_heartbeat_at, ended_at,
  total_duration_seconds, device_info, user_agent, created_at, updated_at
)
select
  md5('user ' || s.n % 20000)::uuid,
  'session-' || s.n,
  (array['web', 'ios-external', 'ios-internal', 'ios-widget', 'macos-internal'])[1 + s.n % 5],
  case when s.is_over then 'ended' else 'active' end,
  case when s.is_over then 'logout' end,
  s.seen - interval '20 minutes',
  s.seen,
  s.seen,
  case when s.is_over then s.seen end,
  case when s.is_over then 1200 else 0 end,
  '{"os": "iOS 18.1", "model": "iPhone16,2"}',
  'Mozilla/5.0 (X11; Linux x86_64)',
  s.seen - interval '20 minutes',
  s.seen
from (
  select
    n,
    n < o.ended as is_over,
    case
      when n < o.ended and o.stored = 'moment' then now() - interval '100 days'
      when n < o.ended then now() - interval '180 days' * ((o.ended - n)::double precision / o.ended)
      when (n - o.ended) * o.stale % o.active < o.stale then now() - interval '2 days'
      else now()
    end as seen
  from (
    select
      current_setting('bench.ended')::bigint as ended,
      current_setting('bench.active')::bigint as active,
      current_setting('bench.stale')::bigint as stale,
      current_setting('bench.stored') as stored
  ) as o
  cross join generate_series(0, o.ended + o.active - 1) as n
) as s
order by case when current_setting('bench.stored') = 'shuffled' then md5(s.n::text) end, s.n;

do $$
declare
  definition text;
begin
  for definition in select l.indexdef from later as l loop
    execute definition;
  end loop;
end
$$;
