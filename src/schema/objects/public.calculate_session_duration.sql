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
