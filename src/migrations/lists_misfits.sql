-- Sessions whose {column} is none of a list, by value, the most frequent first. $1: the list.
select coalesce(json_agg(json_build_object('value', v.value, 'rows', v.rows) order by v.rows desc, v.value), '[]')::text
from (
  select s.{column} as value, count(*) as rows
  from public.user_sessions as s
  where s.{column} <> all ($1)
  group by s.{column}
  order by count(*) desc, s.{column}
  limit 20
) as v
