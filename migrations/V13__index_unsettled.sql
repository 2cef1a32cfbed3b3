-- sessctl: no-transaction
-- Ended sessions without an end, or with one before their start, are found by this one. No arithmetic on a client's times, which
-- may be out of range: an INSERT would fail by it.
create index concurrently if not exists idx_user_sessions_unsettled on public.user_sessions (ended_at)
  where status in ('ended', 'timeout') and (ended_at is null or ended_at < started_at);
