-- Keeps batches of an older generation out, and says what the run has done.
select to_json(f)::text from sessctl.run_fence(:run, :job, :source, :generation, :cutoff) as f
