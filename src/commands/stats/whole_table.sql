-- The same as by_index.sql in one scan of the table, where no index finds sessions by started_at.
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
