-- The roles of a Supabase project, once a server. Run as the superuser, supabase_admin, with {password} replaced.
create role postgres login bypassrls createrole createdb replication password '{password}';
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit password '{password}';
create role supabase_auth_admin login noinherit createrole password '{password}';

grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role to postgres with admin option;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;

-- On 15, CREATEROLE lets a role grant itself every role that is no superuser, these three too: with them it would run
-- programs, and read and write files, as the server. On the platform an extension refuses that. Here they are superusers,
-- so that only a superuser can grant them. On 16, CREATEROLE grants only roles that it has the admin option on.
update pg_catalog.pg_authid
set rolsuper = true
where rolname in ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
  and current_setting('server_version_num')::integer < 160000;

alter role postgres set search_path = "$user", public, extensions;
alter role postgres set statement_timeout = '2min';
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role supabase_auth_admin set search_path = auth;
