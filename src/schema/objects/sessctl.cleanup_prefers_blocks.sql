-- Whether the heap is shuffled and at least one session a block is past retention: then its blocks are read once, in order.
create or replace function sessctl.cleanup_prefers_blocks(cutoff timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
as $$
declare
  pages bigint;
begin
  if not sessctl.is_shuffled() then
    return false;
  end if;
  pages := pg_relation_size('public.user_sessions') / current_setting('block_size')::bigint;
  return pages = (
    select count(*) from (
      select from only public.user_sessions as s
      where s.ended_at < cutoff and s.status not in ('active', 'idle')
      limit pages
    ) as a_row_a_page
  );
end
$$;
