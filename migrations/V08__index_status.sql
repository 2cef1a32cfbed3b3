-- sessctl: no-transaction
-- From the original script, for a table that lacked it.
create index concurrently if not exists idx_user_sessions_status on public.user_sessions (status);
