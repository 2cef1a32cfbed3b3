-- Ends the run's record.
select to_json(f)::text from sessctl.run_finish(:run, :outcome, :left, :message, :failed) as f
