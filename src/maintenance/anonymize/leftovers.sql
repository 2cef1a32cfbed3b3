-- What a run of anonymize leaves that is due.
select to_json(l)::text from sessctl.anonymize_leftovers(:cutoff, sessctl.anonymize_removes(:ip, :keep)) as l
