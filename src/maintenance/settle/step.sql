-- One batch of the settling, with its count in the run's record. Its commit does not wait for the disk, but where it is the run's
-- last.
select to_json(s)::text,
  set_config('synchronous_commit', case when s.skipped then current_setting('synchronous_commit') else 'off' end, true)
from sessctl.settle_step(
  :run, :job, :source, :generation, :cutoff, :threshold, string_to_array(:candidates, ' ')::tid[], :include_idle
) as s
