-- Each day's sessions come by the index on started_at, and are sorted for themselves: the cost follows the window, and the memory
-- one day. Of reasons there are no users; without :durations there are none of these.
found as (
  select d.day, f.*
  from day as d
  cross join lateral (
    select
      case :view when 'platform' then s.platform when 'reason' then s.ended_by end collate "C" as key,
      count(*) as started,
      count(distinct case when :view <> 'reason' then s.user_id end) as users,
      percentile_cont(array[0.5, 0.95]) within group (order by case when :durations then s.seconds end) as seconds,
      count(*) filter (where s.is_timeout) as timeouts,
      count(*) filter (where s.is_over) as over
    from sessctl.session_duration as s
    where s.started_at >= d.starts_at and s.started_at < d.ends_at and s.started_at <= now()
      and (s.is_over or :view <> 'reason')
    group by 1
  ) as f
),
