-- What anonymize removes: ip is remove, or truncate, which keeps the first 24 bits of an IPv4 address and 48 of an IPv6 one; keep
-- names what stays, of user-agent and location.
create or replace function sessctl.anonymize_removes(ip text, keep text[])
returns text[]
language plpgsql
immutable
set search_path = ''
as $$
begin
  if ip is null or ip not in ('remove', 'truncate') then
    raise exception 'ip must be remove or truncate, not %', coalesce(ip, 'null') using errcode = 'invalid_parameter_value';
  end if;
  if not coalesce(keep, '{}') <@ array['user-agent', 'location'] then
    raise exception 'keep is a list of user-agent and location, not %', keep using errcode = 'invalid_parameter_value';
  end if;
  return array(
    select r.name
    from unnest(array['address', 'host', 'user-agent', 'location']) with ordinality as r (name, place)
    where r.name <> all (coalesce(keep, '{}')) and not (r.name = 'address' and ip = 'truncate')
    order by r.place
  );
end
$$;
