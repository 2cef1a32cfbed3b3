-- Ended sessions whose ended_at is over a day before created_at.
-- Nothing is computed with a time that a client may have put out of range.
-- The line that names the sample is left out where the whole table is counted.
select
from only public.user_sessions as s
where s.status in ('ended', 'timeout') and case
  when s.created_at between '2000-01-01' and now() + interval '1 day' then s.ended_at < s.created_at - interval '1 day'
end
  and s.ctid = any (:sample)
