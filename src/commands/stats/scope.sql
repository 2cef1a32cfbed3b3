-- What the statistics of :zone rest on. zone: its name in the server's spelling, or null where there is none.
-- filtered: row level security hides rows from this role. indexed: an index finds sessions by started_at.
-- whole_since: the first day from whose start on no cleanup has deleted a session. (A plausible end is up to five minutes before its start.)
with zone as (
  select case
    when lower(:zone) = 'utc' then 'UTC'
    else (select min(n.name) from pg_catalog.pg_timezone_names as n where lower(n.name) = lower(:zone))
  end as name
)
select json_build_object(
  'zone', z.name,
  'filtered', row_security_active('public.user_sessions'),
  'indexed', exists (
    select
    from pg_catalog.pg_index as i
    join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = 'public.user_sessions'::regclass and a.attname = 'started_at' and i.indisvalid and i.indpred is null
  ),
  'whole_since', (
    select c.since::date + (c.since > date_trunc('day', c.since))::integer
    from (
      select (max(r.cutoff) + interval '5 minutes') at time zone z.name as since
      from sessctl.run as r
      where r.job = 'cleanup' and (r.outcome = 'done' or r.rows_done > 0)
    ) as c
  )
)::text
from zone as z
cross join sessctl.require_table()
