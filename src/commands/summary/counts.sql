-- Active and idle sessions by platform, most active first, in one scan of them. Null where the views read another table.
-- due: active ones that the sweep would end, by the minutes of its last run, else by :minutes.
-- filtered: row level security hides rows from this role. What is said of active ones is what public.active_sessions_summary says.
select case
  when exists (
    select
    from pg_catalog.pg_rewrite as w
    join pg_catalog.pg_depend as d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
    where w.ev_class = 'sessctl.session_last_seen'::regclass
      and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = 'public.user_sessions'::regclass
  ) then json_build_object(
    'now', now(),
    'filtered', row_security_active('public.user_sessions'),
    'platforms', (
      select coalesce(json_agg(json_build_object(
        'platform', p.platform,
        'active_count', p.active,
        'idle_count', p.idle,
        'due_count', p.due,
        'avg_session_minutes', p.minutes,
        'oldest_session', p.oldest,
        'latest_activity', p.latest
      ) order by p.active desc, p.platform), '[]')
      from (
        select
          s.platform,
          count(*) filter (where s.status = 'active') as active,
          count(*) filter (where s.status = 'idle') as idle,
          count(*) filter (where s.status = 'active' and s.last_seen < now() - make_interval(mins => coalesce(
            (select j.threshold from sessctl.job as j where j.name = 'end-inactive'), :minutes))) as due,
          round((avg(date_part('epoch', now() - least(greatest(s.started_at, '2000-01-01 00:00:00+00'), now())))
            filter (where s.status = 'active') / 60)::numeric, 2) as minutes,
          min(s.started_at) filter (where s.status = 'active') as oldest,
          max(s.last_activity_at) filter (where s.status = 'active') as latest
        from sessctl.session_last_seen as s
        where s.status = 'active' or s.status = 'idle'
        group by s.platform
      ) as p
    )
  )
end::text
