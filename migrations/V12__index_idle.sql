-- sessctl: no-transaction
-- A sweep with --include-idle finds the idle sessions by this one.
create index concurrently if not exists idx_user_sessions_idle on public.user_sessions (status)
  where status = 'idle';
