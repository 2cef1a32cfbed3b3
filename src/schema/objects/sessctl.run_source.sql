-- What started this session's run: pg_cron, api (a request of PostgREST) or sql (any other session).
create or replace function sessctl.run_source()
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return case
    when current_setting('application_name') like 'pg\_cron%'
      or (select a.backend_type from pg_catalog.pg_stat_get_activity(pg_backend_pid()) as a) = 'pg_cron' then 'pg_cron'
    when current_setting('request.jwt.claims', true) <> '' then 'api'
    else 'sql'
  end;
end
$$;
