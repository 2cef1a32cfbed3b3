-- Makes the run the one that is running, before its first batch. False: another run is.
select sessctl.run_begin_batch(:run, :job, :source, :generation, :cutoff, :threshold)::text
