-- The sessions of the next slice to archive, those left out that a foreign key keeps: a text of row_id:row_version:bytes, a space
-- between two, and where the slice behind it begins. bytes: about what the columns are long as texts.
create or replace function sessctl.archive_slice(
  cutoff timestamptz,
  max_rows integer,
  "position" text,
  out candidates text,
  out next_position text
)
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_tidscan = on
-- The listed places must be read, and not all sessions past retention.
set random_page_cost = 0.01
set jit = off
set lock_timeout = '1s'
as $$
declare
  kept_by constant text := sessctl.kept_by_reference();
  bytes constant text := sessctl.archive_bytes();
  slice record;
begin
  perform sessctl.require_all_rows();
  slice := sessctl.cleanup_candidates(cutoff, max_rows, "position");
  next_position := slice.next_position;
  execute concat(
    'select string_agg(concat_ws('':'', s.row_id, s.row_version, ', bytes, '), '' '' order by s.row_id)
    from sessctl.ended_session as s
    join only public.user_sessions as u on u.ctid = s.row_id
    where s.row_id = any ($2) and s.ended_at < $1', ' and not (' || kept_by || ')')
    into candidates using cutoff, slice."rows";
end
$$;
