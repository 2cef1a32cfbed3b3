-- A run that waits is running all the same. False: it has no record yet, or a closed one.
with touched as (
  update sessctl.run as r set progress_at = clock_timestamp() where r.id = :run and r.outcome is null returning true
)
select (count(*) > 0)::text from touched
