-- sessctl: no-transaction
-- From the original script, for a table that lacked it.
create index concurrently if not exists idx_user_sessions_started_at on public.user_sessions (started_at);
