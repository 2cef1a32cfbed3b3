-- How long the newest of the indexes that only reads use has been there, in seconds. No parameters.
select coalesce(extract(epoch from now() - greatest(
  (
    select max(h.applied_on::timestamptz)
    from sessctl.schema_history as h
    where h.version <= 10 and h.applied_on ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d'
  ),
  (select d.applied_at from sessctl.declared as d where d.key = 'without-indexes')
))::bigint, 0)::text
