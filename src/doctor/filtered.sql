-- Whether row level security hides sessions from this role. No parameters.
select row_security_active('public.user_sessions')::text
