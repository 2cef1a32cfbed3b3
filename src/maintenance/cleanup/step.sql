-- One batch of a cleanup, with its count in the run's record: the next slice, or the listed candidates, with the
-- versions that were archived. Its commit does not wait
-- for the disk, but where it is the run's last.
select to_json(s)::text,
  set_config('synchronous_commit', case when s.skipped then current_setting('synchronous_commit') else 'off' end, true)
from sessctl.cleanup_step(
  :run, :source, :generation, :cutoff, :threshold, :max_rows, :position, string_to_array(:candidates, ' ')::tid[],
  string_to_array(:versions, ' ')::xid[], string_to_array(:ids, ' ')::uuid[]
) as s
