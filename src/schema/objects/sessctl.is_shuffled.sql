-- Whether sessions that ended one after the other lie far from each other.
create or replace function sessctl.is_shuffled()
returns boolean
language sql
stable
set search_path = ''
as $$
  select exists (
    select from pg_catalog.pg_stats as s
    where s.schemaname = 'public' and s.tablename = 'user_sessions' and s.attname = 'ended_at' and abs(s.correlation) < 0.9
  );
$$;
