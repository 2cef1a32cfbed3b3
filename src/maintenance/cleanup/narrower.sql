-- Whether a cleanup keeps fewer days than the last recorded run, and takes over half of the table: how many days that one kept,
-- how many sessions go, those included that are settled first, and how many there are. Null: it is not so. A large table's rows are
-- estimated. :cutoff: that of a run; null: the one that a run would have now.
select (
  select json_build_object('last_days', j.threshold, 'due', d.due, 'rows', t.estimate)
  from sessctl.job as j
  cross join sessctl.require_table()
  cross join lateral (
    select coalesce(:cutoff::timestamptz, case when j.threshold > :threshold then sessctl.cleanup_cutoff(:threshold) end) as cutoff
  ) as c
  cross join lateral (
    select case
      when r.reltuples > 100000 then r.reltuples::bigint
      else (select count(*) from only public.user_sessions)
    end as estimate
    from pg_catalog.pg_class as r
    where r.oid = 'public.user_sessions'::regclass and j.threshold > :threshold
  ) as t
  cross join lateral (
    select count(*) as due
    from (
      select from sessctl.ended_session as s where s.ended_at < c.cutoff
      union all
      select from sessctl.ended_last_seen as s where s.is_implausible and s.last_seen < c.cutoff
      limit t.estimate / 2 + 1
    ) as s
  ) as d
  where j.name = :job and d.due > t.estimate / 2
)::text
