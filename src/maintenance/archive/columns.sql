-- The columns of the table as an archive has them, in order: the name, the type in the files, and the expression that reads it of a
-- row s. A team's own columns are text. A time is 64 bits of microseconds since 2000, in hex, or a text where a file can't hold it.
select coalesce(json_agg(json_build_object('name', c.name, 'kind', c.kind, 'sql', case c.kind
  when 'time' then format(
    'case when isfinite(s.%1$I) and s.%1$I < ''294247-01-01 00:00:00+00''
      then encode(timestamptz_send(s.%1$I), ''hex'') else s.%1$I::text end', c.name)
  else format('s.%I::text', c.name)
end) order by c.number), '[]')::text
from (
  select a.attnum, a.attname, case
    when a.attname in ('started_at', 'last_activity_at', 'ended_at', 'last_heartbeat_at', 'created_at', 'updated_at')
      and a.atttypid = 'timestamptz'::regtype then 'time'
    when a.attname in ('total_duration_seconds', 'activity_count') then case
      when a.atttypid in ('int2'::regtype, 'int4'::regtype) then 'integer'
      when a.atttypid = 'int8'::regtype then 'long'
      else 'text'
    end
    else 'text'
  end
  from pg_attribute as a
  where a.attrelid = 'public.user_sessions'::regclass and a.attnum > 0 and not a.attisdropped
    and not (:without_addresses and a.attname in ('ip_address', 'user_agent', 'location_info'))
) as c (number, name, kind)
