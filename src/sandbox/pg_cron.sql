-- pg_cron as the platform enables it. Run as the superuser in database postgres.
create extension pg_cron;
grant usage on schema cron to postgres with grant option;
grant all privileges on all tables in schema cron to postgres with grant option;
grant execute on all functions in schema cron to postgres with grant option;
