-- Statistics of the last :days days in the time zone :zone, today the last. by_platform: of each platform.
-- Each day's sessions come by the index on started_at, and are sorted for themselves: the cost follows the window, and the memory
-- one day. A day begins an hour after 23:00, where the clocks show midnight twice or never.
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
found as (
  select d.day, f.*
  from day as d
  cross join lateral (
    select
      case when :by_platform then s.platform collate "C" end as platform,
      count(*) as started,
      count(distinct s.user_id) as users,
      percentile_cont(array[0.5, 0.95]) within group (order by s.seconds) as seconds,
      count(*) filter (where s.is_timeout) as timeouts,
      count(*) filter (where s.is_over) as over
    from sessctl.session_duration as s
    where s.started_at >= d.starts_at and s.started_at < d.ends_at and s.started_at <= now()
    group by 1
  ) as f
)
select json_build_object(
  'days', (select json_agg(d.day order by d.day) from day as d),
  'found', (
    select coalesce(json_agg(json_build_array(
      f.day,
      f.platform,
      f.started,
      f.users,
      round(f.seconds[1]::numeric),
      round(f.seconds[2]::numeric),
      round(f.timeouts::numeric / nullif(f.over, 0), 4)
    )), '[]')
    from found as f
  )
)::text
