-- One batch of anonymize, with its count in the run's record: the next slice, or the listed candidates. Its commit does not wait
-- for the disk, but where it is the run's last.
select to_json(s)::text,
  set_config('synchronous_commit', case when s.skipped then current_setting('synchronous_commit') else 'off' end, true)
from sessctl.anonymize_step(
  :run, :source, :generation, :cutoff, :threshold, :max_rows, sessctl.anonymize_removes(:ip, :keep), :position,
  string_to_array(:candidates, ' ')::tid[]
) as s
