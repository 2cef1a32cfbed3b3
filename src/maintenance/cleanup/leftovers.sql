-- What a cleanup leaves that is due; null where nothing is.
select coalesce((
  select to_json(l)
  from sessctl.cleanup_leftovers(:cutoff) as l
  where sessctl.cleanup_is_left(:cutoff)
), 'null')::text
