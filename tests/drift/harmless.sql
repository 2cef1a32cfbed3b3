-- Changes to a migrated database that verify must not call drift, one after each name. Run as the superuser.
-- name: column order
alter table public.user_sessions add column moved integer default 0; alter table public.user_sessions drop column activity_count; alter table public.user_sessions rename column moved to activity_count;
-- name: order of grants
revoke all on public.user_sessions from authenticated, service_role; grant update, insert, select on public.user_sessions to authenticated; grant delete, update, insert, select on public.user_sessions to service_role;
-- name: policy made again
drop policy "Users can view their own sessions" on public.user_sessions; create policy "Users can view their own sessions" on public.user_sessions for select to authenticated using ((select auth.uid()) = user_id);
-- name: white space in a function
create or replace function public.cleanup_old_sessions(days_old integer default 90) returns integer language plpgsql set search_path = '' as $$

begin
    return   sessctl.cleanup(days_old);
end
$$;
-- name: somebody else's table
create table public.invoices (id int primary key, total numeric); grant select on public.invoices to anon;
-- name: somebody else's function and view
create function public.total() returns int language sql as 'select 1'; create view public.mine as select * from public.user_sessions;
-- name: index made again
drop index public.idx_user_sessions_platform; create index idx_user_sessions_platform on public.user_sessions using btree (platform);
-- name: rows and statistics
insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001'); insert into public.user_sessions (user_id, session_id, platform) values ('00000000-0000-4000-8000-000000000001', 'a', 'web'); analyze public.user_sessions;
-- name: autovacuum settings
alter table public.user_sessions set (autovacuum_vacuum_scale_factor = 0.01);
-- name: replica identity and a publication
alter table public.user_sessions replica identity full; create publication realtime_test for table public.user_sessions;
-- name: a role that only reads
create role reader_of_sessions; grant select on public.user_sessions, public.active_sessions_summary to reader_of_sessions; grant usage on schema sessctl to reader_of_sessions; grant select on sessctl.schema_history to reader_of_sessions;
-- name: other settings of the database
do $$ begin execute format('alter database %I set search_path = auth, public', current_database()); execute format('alter database %I set intervalstyle = sql_standard', current_database()); execute format('alter database %I set quote_all_identifiers = on', current_database()); execute format('alter database %I set timezone = ''Asia/Tokyo''', current_database()); end $$;
-- name: extra column, index and constraint
alter table public.user_sessions add column app_version text, add constraint short_agent check (length(user_agent) < 500); create index on public.user_sessions (app_version);
-- name: column, check and index added to a private table
alter table sessctl.schema_history add column ticket text, add check (ticket <> ''); create index on sessctl.schema_history (name);
-- name: force row level security
alter table public.user_sessions force row level security;
-- name: table comment
comment on table public.user_sessions is 'something else';
-- name: column not nullable
alter table public.user_sessions alter column user_agent set not null;
-- name: column comment dropped
comment on column public.user_sessions.session_id is null;
-- name: a default of user_id and of platform
alter table public.user_sessions alter column user_id set default auth.uid(), alter column platform set default 'web';
-- name: a platform and an end reason more
alter table public.user_sessions drop constraint user_sessions_platform_check, drop constraint user_sessions_end_reason_check; alter table public.user_sessions add constraint user_sessions_platform_check check (platform in ('android', 'macos-internal', 'ios-widget', 'ios-internal', 'ios-external', 'web')), add constraint user_sessions_end_reason_check check (end_reason in ('logout', 'timeout', 'manual', 'app_close', 'crash', 'replaced'));
