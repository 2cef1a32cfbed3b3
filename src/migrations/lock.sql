-- Does this transaction now have the right to migrate? One process at a time; the lock goes with the transaction.
select to_json(pg_try_advisory_xact_lock(1936028531, 1))::text
