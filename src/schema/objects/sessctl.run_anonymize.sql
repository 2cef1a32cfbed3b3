-- ip and keep: see sessctl.anonymize_removes.
create or replace procedure sessctl.run_anonymize(
  days integer,
  ip pg_catalog.text default 'remove',
  keep pg_catalog.text[] default '{}',
  max_runtime interval default '4 minutes'
)
language plpgsql
as $$
begin
  call sessctl.run_to_end('anonymize', days, false, max_runtime, sessctl.anonymize_removes(ip, keep));
end
$$;
