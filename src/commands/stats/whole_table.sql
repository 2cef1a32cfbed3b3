-- The same as by_index.sql in one scan of the table, where no index finds sessions by started_at.
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
  from (
    select
      width_bucket(s.started_at, (select array_agg(d.starts_at order by d.day) from day as d)) as number,
      case when :by_platform then s.platform collate "C" end as platform,
      count(*) as started,
      count(distinct s.user_id) as users,
      percentile_cont(array[0.5, 0.95]) within group (order by s.seconds) as seconds,
      count(*) filter (where s.is_timeout) as timeouts,
      count(*) filter (where s.is_over) as over
    from sessctl.session_duration as s
    where s.started_at >= (select min(d.starts_at) from day as d) and s.started_at <= now()
    group by 1, 2
  ) as f
  join (select d.day, row_number() over (order by d.day) as number from day as d) as d using (number)
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
