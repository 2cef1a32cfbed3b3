-- The run that keeps this one out.
select to_json(o)::text from sessctl.other_run(:job, :run) as o
