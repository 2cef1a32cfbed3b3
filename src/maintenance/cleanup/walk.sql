-- Walks the index entries of the sessions that a run deleted, so that the server marks them and the next run's look is short.
select sessctl.cleanup_is_due(:cutoff)::text
