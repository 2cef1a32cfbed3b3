-- Row level security policies, in a short transaction of their own: signed-in users reach their own rows, nobody else's.
-- service_role needs no policy, it bypasses row level security. Policies of other names are left alone.
-- sessctl: replaces policy
-- sessctl: drops policy Service role can manage all sessions (service_role bypasses row level security)

drop policy if exists "Users can view their own sessions" on public.user_sessions;
drop policy if exists "Users can create their own sessions" on public.user_sessions;
drop policy if exists "Users can update their own sessions" on public.user_sessions;
drop policy if exists "Service role can manage all sessions" on public.user_sessions;

-- The call stands in a sub-select, so that it runs once a statement, not once a row.
create policy "Users can view their own sessions" on public.user_sessions
  for select to authenticated
  using ((select auth.uid()) = user_id);

create policy "Users can create their own sessions" on public.user_sessions
  for insert to authenticated
  with check ((select auth.uid()) = user_id);

create policy "Users can update their own sessions" on public.user_sessions
  for update to authenticated
  using ((select auth.uid()) = user_id)
  with check ((select auth.uid()) = user_id);

notify pgrst, 'reload schema';
