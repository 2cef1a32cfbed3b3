-- The trigger that keeps updated_at, and the duration of a session.
-- sessctl: replaces function
-- sessctl: replaces trigger

-- `create or replace` can't change a result, a default or an argument's name: where one differs the function goes first.
-- Never with CASCADE: what depends on it is named by the error, and stays.
drop trigger if exists update_user_sessions_updated_at on public.user_sessions;
do $$
declare
  want record;
begin
  for want in
    select * from (values
      ('public.update_user_sessions_updated_at_column()', 'trigger', ''),
      ('public.calculate_session_duration(timestamptz, timestamptz)', 'integer',
       'session_start timestamp with time zone, session_end timestamp with time zone DEFAULT now()'),
      ('public.cleanup_old_sessions(integer)', 'integer', 'days_old integer DEFAULT 90'),
      ('public.end_inactive_sessions(integer)', 'integer', 'timeout_minutes integer DEFAULT 60')
    ) as wanted (signature, result, arguments)
  loop
    if exists (
      select from pg_catalog.pg_proc p
      where p.oid = pg_catalog.to_regprocedure(want.signature)
        and (p.prokind <> 'f'
          or pg_catalog.pg_get_function_result(p.oid) is distinct from want.result
          or pg_catalog.pg_get_function_arguments(p.oid) is distinct from want.arguments)
    ) then
      execute 'drop routine ' || want.signature;
    end if;
  end loop;
end
$$;

create or replace function public.update_user_sessions_updated_at_column()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.updated_at := now();
  return new;
end
$$;

-- Every update counts, but one that only takes the address, the user agent or the location from a session that is over: updated_at
-- is a sign of life, and what maintenance does is none. The first condition decides nearly always. The columns named are, but for
-- those three, those that the views of schema sessctl read too: a trigger's condition keeps a column from another type. (No comparison of
-- rows: the server shows it in other words than those it reads.)
create trigger update_user_sessions_updated_at
  before update on public.user_sessions
  for each row
  when (
    old.status in ('active', 'idle')
    or new.status is distinct from old.status
    or new.end_reason is distinct from old.end_reason
    or new.started_at is distinct from old.started_at
    or new.ended_at is distinct from old.ended_at
    or new.total_duration_seconds is distinct from old.total_duration_seconds
    or new.last_heartbeat_at is distinct from old.last_heartbeat_at
    or new.last_activity_at is distinct from old.last_activity_at
    or new.created_at is distinct from old.created_at
    or new.updated_at is distinct from old.updated_at
    or not (
      new.ip_address is distinct from old.ip_address
      or new.user_agent is distinct from old.user_agent
      or new.location_info is distinct from old.location_info
    )
    -- Another value is no less than before.
    or not coalesce(new.ip_address >>= old.ip_address, new.ip_address is null)
    or not coalesce(new.user_agent = old.user_agent, new.user_agent is null)
    or not coalesce(new.location_info in (old.location_info, '{}'), new.location_info is null)
  )
  execute function public.update_user_sessions_updated_at_column();

-- Seconds from start to end, 0 … 2147483647 whatever clients wrote: infinite, reversed and absent times included.
-- Both times are taken from one fixed moment first, since the difference of two extreme ones does not fit an interval.
create or replace function public.calculate_session_duration(
  session_start timestamptz,
  session_end timestamptz default now()
)
returns integer
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
declare
  epoch constant timestamptz := timestamptz '2000-01-01 00:00:00+00';
begin
  if session_start is null or session_end is null or session_end <= session_start then
    return 0;
  end if;
  if not isfinite(session_start) or not isfinite(session_end) then
    return 2147483647;
  end if;
  return least(extract(epoch from session_end - epoch) - extract(epoch from session_start - epoch), 2147483647)::integer;
end
$$;

notify pgrst, 'reload schema';
