-- The server's time. No parameters.
select to_json(now())::text
