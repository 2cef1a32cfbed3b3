-- sessctl: no-transaction
-- The sweep finds the active sessions by this one: its cost follows their number, not the size of the table.
create index concurrently if not exists idx_user_sessions_active on public.user_sessions (user_id, status)
  where status = 'active';
