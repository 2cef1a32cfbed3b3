-- Whether a run of anonymize takes fewer days than the last recorded one, and over half of the table: how many days that one took.
-- Null: it is not so. A large table's rows are estimated. :cutoff: that of a run; null: the one that a run would have now.
select (
  select json_build_object('last_days', j.threshold)
  from sessctl.job as j
  cross join sessctl.require_table()
  cross join sessctl.anonymize_removes(:ip, :keep) as r (removes)
  cross join sessctl.anonymize_from(r.removes) as f (from_time)
  cross join lateral (
    select coalesce(:cutoff::timestamptz, case when j.threshold > :threshold then sessctl.cleanup_cutoff(:threshold) end) as cutoff
  ) as c
  cross join lateral (
    select case
      when t.reltuples > 100000 then t.reltuples::bigint
      else (select count(*) from only public.user_sessions)
    end as estimate
    from pg_catalog.pg_class as t
    where t.oid = 'public.user_sessions'::regclass and j.threshold > :threshold
  ) as t
  cross join lateral (
    select count(*) as due
    from (
      select from sessctl.ended_personal as s
      where s.ended_at >= f.from_time and s.ended_at < c.cutoff and not s.is_implausible and s.personal && r.removes
      union all
      select from sessctl.ended_personal as s
      where s.is_implausible and s.last_seen >= f.from_time and s.last_seen < c.cutoff and s.personal && r.removes
      limit t.estimate / 2 + 1
    ) as s
  ) as d
  where j.name = :job and d.due > t.estimate / 2
)::text
