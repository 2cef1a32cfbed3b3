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
      case :view when 'platform' then s.platform when 'reason' then s.ended_by end collate "C" as key,
      count(*) as started,
      count(distinct case when :view <> 'reason' then s.user_id end) as users,
      percentile_cont(array[0.5, 0.95]) within group (order by case when :durations then s.seconds end) as seconds,
      count(*) filter (where s.is_timeout) as timeouts,
      count(*) filter (where s.is_over) as over
    from sessctl.session_duration as s
    where s.started_at >= (select min(d.starts_at) from day as d) and s.started_at <= now()
      and (s.is_over or :view <> 'reason')
    group by 1, 2
  ) as f
  join (select d.day, row_number() over (order by d.day) as number from day as d) as d using (number)
),
placed as (
  select r.*, case when r.ordinal > :most and r.keys > :most + 1 then :most + 1 else r.ordinal end as place
  from (
    select n.*, max(n.ordinal) over () as keys
    from (
      select t.*, dense_rank() over (order by t.total desc, t.key) as ordinal
      from (select f.*, sum(f.started) over (partition by f.key) as total from found as f) as t
    ) as n
  ) as r
)
select json_build_object(
  'now', now(),
  'days', (select json_agg(d.day order by d.day) from day as d),
  'keys', (
    select coalesce(json_agg(json_build_array(k.place, case when k.keys = 1 then left(k.key, :longest) end, k.keys) order by k.place), '[]')
    from (
      select p.place, min(p.key) as key, count(distinct p.ordinal) as keys from placed as p group by p.place
    ) as k
  ),
  'found', (
    select coalesce(json_agg(json_build_array(
      f.day,
      f.place,
      f.started,
      f.users,
      round(f.median::numeric),
      round(f.p95::numeric),
      round(f.timeouts / nullif(f.over, 0), 4)
    )), '[]')
    from (
      select
        p.day,
        p.place,
        sum(p.started) as started,
        sum(p.users) as users,
        case when count(*) = 1 then max(p.seconds[1]) end as median,
        case when count(*) = 1 then max(p.seconds[2]) end as p95,
        sum(p.timeouts) as timeouts,
        sum(p.over) as over
      from placed as p
      group by p.day, p.place
    ) as f
  )
)::text
