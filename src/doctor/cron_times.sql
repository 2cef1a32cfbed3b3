-- The moments of these times by the clock of pg_cron's schedules, in the same order. $1: the times, empty where there is none.
select coalesce(json_agg(
  nullif(l.text, '')::timestamp at time zone coalesce(nullif(current_setting('cron.timezone', true), ''), 'GMT')
  order by l.place
), '[]')::text
from unnest($1) with ordinality as l (text, place)
