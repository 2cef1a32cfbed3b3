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

create trigger update_user_sessions_updated_at
  before update on public.user_sessions
  for each row execute function public.update_user_sessions_updated_at_column();

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
