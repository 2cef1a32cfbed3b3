-- How far the replicas are behind.
select to_json(r)::text from sessctl.replicas() as r
