-- Statistics of the last :days days in the time zone :zone, today the last: these days, then by_index.sql or whole_table.sql, then
-- views.sql, as one statement. A day begins an hour after 23:00, where the clocks show midnight twice or never.
with day as (
  select
    d.day::date as day,
    (d.day - interval '1 hour') at time zone :zone + interval '1 hour' as starts_at,
    (d.day + interval '23 hours') at time zone :zone + interval '1 hour' as ends_at
  from (
    select date_trunc('day', now() at time zone :zone) - make_interval(days => ago.days) as day
    from generate_series(0, :days - 1) as ago (days)
  ) as d
),
