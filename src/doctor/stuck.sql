-- The run of :job that keeps others out for so long that the work may never be done; null where there is none.
select coalesce((
  select json_build_object('process', o.process, 'seconds', greatest(o.running_for, o.in_transaction_for))
  from sessctl.other_run(:job) as o
  where o.is_stuck
), 'null')::text
