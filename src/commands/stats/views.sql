-- :view: all, or by platform, or by the reason for which sessions ended. The :most platforms or reasons with the most sessions come by
-- their names, of at most :longest characters, the others as one, whose users are the sum of theirs.
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
