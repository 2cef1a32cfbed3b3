-- Ends the run's record.
select json_build_object('rows_done', f.rows_done, 'batches', f.batches, 'outcome', f.outcome)::text
from sessctl.run_finish(:run, :outcome, :left, :message) as f
