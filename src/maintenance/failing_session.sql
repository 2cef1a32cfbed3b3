-- The key of a session that failed alone; null where it is gone. Its session_id is a client's text, and never printed.
select coalesce((select to_json(s.id) from only public.user_sessions as s where s.ctid = :row::tid), 'null')::text
