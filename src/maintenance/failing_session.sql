-- The id of a session that failed alone; null where it is gone.
select coalesce((select to_json(s.session_id) from only public.user_sessions as s where s.ctid = :row::tid), 'null')::text
