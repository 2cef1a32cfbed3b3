-- A whole run that commits after each batch. A procedure that commits can't have a setting of its own, and whatever the caller's
-- search_path finds must not be called: each name here is qualified, and there is no operator.
create or replace procedure sessctl.run_to_end(
  job_name pg_catalog.text,
  threshold integer,
  option boolean,
  max_runtime interval,
  removes pg_catalog.text[] default null
)
language plpgsql
as $$
declare
  run pg_catalog.jsonb;
  "rows" pg_catalog.tid[];
  more boolean;
  failure pg_catalog.text;
begin
  -- The first transaction has the isolation level of the caller, and has begun. Within a transaction block this fails.
  commit;
  set transaction isolation level read committed;
  select s.run, s."rows" into run, "rows" from sessctl.run_start(job_name, threshold, option, null, true, max_runtime, removes) as s;
  more := run is not null;
  while more loop
    commit;
    set transaction isolation level read committed;
    select n.run, n."rows", n.more, n.failure into run, "rows", more, failure from sessctl.run_next(run, "rows") as n;
  end loop;
  commit;
  if failure is not null then
    raise exception '%', failure using errcode = 'SC003';
  end if;
end
$$;
