-- sessctl: no-transaction
-- Cleanup finds what ended long ago by this one.
create index concurrently if not exists idx_user_sessions_ended_at on public.user_sessions (ended_at)
  where ended_at is not null and status not in ('active', 'idle');
