-- What each session that is over has of its user's address, program and place. personal: names of what can be removed, as in
-- sessctl.anonymize_removes, with nulls between them. ip_network: what is left of the address without its host.
create or replace view sessctl.ended_personal
with (security_invoker = true) as
select
  s.row_id,
  s.ended_at,
  s.is_implausible,
  s.last_seen,
  s.ip_address,
  s.user_agent,
  s.location_info,
  network(
    set_masklen(s.ip_address, least(masklen(s.ip_address), case family(s.ip_address) when 4 then 24 else 48 end))
  )::inet as ip_network,
  array[
    case when s.ip_address is not null then 'address' end,
    case
      when s.ip_address <> network(
        set_masklen(s.ip_address, least(masklen(s.ip_address), case family(s.ip_address) when 4 then 24 else 48 end))
      )::inet then 'host'
    end,
    case when s.user_agent is not null then 'user-agent' end,
    case when s.location_info <> '{}' then 'location' end
  ] as personal
from sessctl.ended_last_seen as s;
