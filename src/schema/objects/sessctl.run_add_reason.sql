-- Adds sessions to the reasons why sessions are left, and the key of one.
create or replace function sessctl.run_add_reason(reasons jsonb, reason text, "rows" bigint, session uuid)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  if "rows" > 0 then
    reasons := reasons || jsonb_build_object(reason, jsonb_build_object(
      'rows', "rows" + coalesce((reasons -> reason ->> 'rows')::bigint, 0),
      'ids', coalesce(reasons -> reason -> 'ids', '[]'::jsonb)
        || case when session is null then '[]'::jsonb else jsonb_build_array(session) end
    ));
  end if;
  return reasons;
end
$$;
