-- sessctl: no-transaction
-- From the original script, for a table that lacked it.
create index concurrently if not exists idx_user_sessions_platform on public.user_sessions (platform);
