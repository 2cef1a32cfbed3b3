-- What the settling leaves.
select to_json(l)::text from sessctl.settle_leftovers() as l
