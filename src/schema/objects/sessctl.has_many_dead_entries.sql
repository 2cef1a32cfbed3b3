-- Whether the index on ended_at leads mostly to deleted sessions that lie far from each other: after a large cleanup of a shuffled
-- heap, until a vacuum. That comes by itself at this share. Below it the heap is not worth reading: the server marks an entry of a deleted
-- session when it meets it, and does not follow it again.
create or replace function sessctl.has_many_dead_entries()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  -- Nearly always the first says no; the other takes longer than all else in a run without work.
  return pg_stat_get_dead_tuples('public.user_sessions'::regclass)
      >= greatest(100000, pg_stat_get_live_tuples('public.user_sessions'::regclass) / 5)
    and sessctl.is_shuffled();
end
$$;
