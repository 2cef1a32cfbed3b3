-- Active, idle and due sessions by platform, in one scan of the active and idle ones. Null where the view reads another table.
-- due: active ones that the sweep would end, by the minutes of its last run, else by :minutes.
-- overdue: for how many seconds the one that was last seen first has been due; forged times are left out.
-- filtered: row level security hides rows from this role.
-- Of the platforms the first hundred, by the number of their sessions, have a row of their own: clients may write any text where
-- the table's list was dropped.
with due as (
  select now() - make_interval(mins => coalesce(
    (select j.threshold from sessctl.job as j where j.name = 'end-inactive'), :minutes)) as before
),
counted as (
  select
    s.platform::text as platform,
    count(*) filter (where s.status = 'active') as active,
    count(*) filter (where s.status = 'idle') as idle,
    count(*) filter (where s.status = 'active' and s.last_seen < d.before) as due,
    min(s.last_seen) filter (where s.status = 'active' and s.last_seen < d.before and s.last_seen >= '2000-01-01') as oldest
  from sessctl.session_last_seen as s
  cross join due as d
  where s.status = 'active' or s.status = 'idle'
  group by s.platform
),
ranked as (
  select c.*, row_number() over (order by c.active + c.idle desc, c.platform) as place
  from counted as c
),
few as (
  select
    case when r.place <= 100 then left(r.platform, 200) end as platform,
    sum(r.active) as active,
    sum(r.idle) as idle,
    sum(r.due) as due,
    min(r.oldest) as oldest
  from ranked as r
  group by 1
)
select case
  when exists (
    select
    from pg_catalog.pg_rewrite as w
    join pg_catalog.pg_depend as p on p.classid = 'pg_catalog.pg_rewrite'::regclass and p.objid = w.oid
    where w.ev_class = 'sessctl.session_last_seen'::regclass
      and p.refclassid = 'pg_catalog.pg_class'::regclass and p.refobjid = 'public.user_sessions'::regclass
  ) then json_build_object(
    'filtered', row_security_active('public.user_sessions'),
    'overdue', (select extract(epoch from d.before - min(f.oldest))::bigint from few as f cross join due as d group by d.before),
    'platforms', (
      select coalesce(json_agg(json_build_object(
        'platform', f.platform, 'active', f.active, 'idle', f.idle, 'due', f.due
      )), '[]')
      from few as f
    )
  )
end::text
