-- Walks the index entries of the sessions that a run deleted, so that the server marks them and the next run's first query is short.
select (not sessctl.has_many_dead_entries() and sessctl.cleanup_is_due(:cutoff))::text
