-- What a sweep leaves that is due.
select to_json(l)::text from sessctl.end_inactive_leftovers(:cutoff, :include_idle) as l
