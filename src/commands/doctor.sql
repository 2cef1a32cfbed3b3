-- What doctor looks at, in one row. No parameters. Works before a migration too: what is not there is null. What must
-- read the table stands in texts, since a statement that names a missing table would fail.
with
sessions as (
  select c.oid
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = 'public' and c.relname = 'user_sessions' and c.relkind = 'r'
),
jobs as (
  select c.oid
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = 'cron' and c.relname = 'job' and has_schema_privilege(n.oid, 'USAGE') and has_table_privilege(c.oid, 'SELECT')
),
readable as (
  select s.oid from sessions as s where has_table_privilege(s.oid, 'SELECT')
)
select json_build_object(
  'now', now(),
  'server_version', current_setting('server_version'),
  'server_version_num', current_setting('server_version_num')::integer,
  'read_only', pg_is_in_recovery() or current_setting('default_transaction_read_only')::boolean,
  'tls', (select s.ssl from pg_catalog.pg_stat_ssl as s where s.pid = pg_backend_pid()),
  'tls_version', (select s.version from pg_catalog.pg_stat_ssl as s where s.pid = pg_backend_pid()),
  'role', current_user,
  'superuser', r.rolsuper,
  'bypasses_rls', r.rolbypassrls or r.rolsuper,
  'owns_table', (select pg_has_role(c.relowner, 'USAGE') from pg_catalog.pg_class as c join sessions as s on s.oid = c.oid),
  'may_create', has_database_privilege(current_database(), 'CREATE') and has_schema_privilege('public', 'CREATE'),
  'table_exists', exists (select from sessions),
  'filtered', (select row_security_active(s.oid) from readable as s),
  'open_grants', exists (
    select
    from pg_catalog.pg_default_acl as d
    cross join lateral pg_catalog.aclexplode(d.defaclacl) as x
    join pg_catalog.pg_namespace as n on n.oid = d.defaclnamespace
    where n.nspname = 'public' and d.defaclobjtype = 'r' and x.privilege_type = 'SELECT'
      and pg_catalog.pg_get_userbyid(d.defaclrole) = 'postgres'
      and x.grantee in (select a.oid from pg_catalog.pg_roles as a where a.rolname in ('anon', 'authenticated'))
  ),
  'dead_rows', (select t.n_dead_tup from pg_catalog.pg_stat_user_tables as t join sessions as s on s.oid = t.relid),
  'live_rows', (select t.n_live_tup from pg_catalog.pg_stat_user_tables as t join sessions as s on s.oid = t.relid),
  'publications', (
    select coalesce(json_agg(p.pubname order by p.pubname), '[]')
    from pg_catalog.pg_publication as p
    where p.puballtables and exists (select from sessions)
      or exists (select from pg_catalog.pg_publication_rel as pr join sessions as s on s.oid = pr.prrelid where pr.prpubid = p.oid)
      or exists (
        select from pg_catalog.pg_publication_namespace as pn
        join pg_catalog.pg_class as c on c.relnamespace = pn.pnnspid
        join sessions as s on s.oid = c.oid
        where pn.pnpubid = p.oid)
  ),
  'oldest_transaction', (
    select json_build_object('pid', a.pid, 'seconds', extract(epoch from now() - a.xact_start)::bigint, 'state', a.state)
    from pg_catalog.pg_stat_activity as a
    where a.datname = current_database() and a.backend_xmin is not null and a.pid <> pg_backend_pid()
    order by a.xact_start
    limit 1
  ),
  'pg_cron', (select e.extversion from pg_catalog.pg_extension as e where e.extname = 'pg_cron'),
  'jobs', case when exists (select from jobs) then
    convert_from(decode(substring(query_to_xml($$
      select encode(convert_to(coalesce(json_agg(json_build_object(
        'name', j.jobname, 'schedule', j.schedule, 'active', j.active,
        'failed_lately', (
          select count(*) from cron.job_run_details as d
          where d.jobid = j.jobid and d.status = 'failed' and d.start_time > now() - interval '1 day'),
        'last_error', (
          select d.return_message from cron.job_run_details as d
          where d.jobid = j.jobid and d.status = 'failed' and d.start_time > now() - interval '1 day'
          order by d.start_time desc limit 1)
      ) order by j.jobname), '[]')::text, 'UTF8'), 'hex') as x
      from cron.job as j where j.jobname in ('sessctl-end-inactive', 'sessctl-cleanup')
    $$, false, false, '')::text from '<x>([0-9a-f]*)</x>'), 'hex'), 'UTF8')::json
  end,
  'rows', case when exists (select from readable) and exists (
    -- A table made by hand may lack one of the columns that are read here.
    select from sessions as s join pg_catalog.pg_attribute as a on a.attrelid = s.oid and not a.attisdropped
    where a.attname in ('status', 'started_at', 'ended_at', 'last_heartbeat_at', 'last_activity_at', 'updated_at', 'created_at')
    having count(*) = 7
  ) then
    convert_from(decode(substring(query_to_xml($$
      select encode(convert_to(json_build_object(
        'silent', count(*) filter (where s.status = 'active' and coalesce(
          case when s.last_heartbeat_at <= now() + interval '5 minutes' then s.last_heartbeat_at end,
          case when s.last_activity_at <= now() + interval '5 minutes' then s.last_activity_at end,
          case when s.updated_at <= now() + interval '5 minutes' then s.updated_at end,
          case when s.created_at <= now() + interval '5 minutes' then s.created_at end,
          '-infinity') < now() - interval '1 hour'),
        'over', count(*) filter (where s.ended_at < now() - interval '90 days' and s.status not in ('active', 'idle')),
        'impossible', count(*) filter (where
          not isfinite(s.started_at) or not isfinite(s.last_heartbeat_at) or not isfinite(s.last_activity_at) or not isfinite(s.ended_at)
          or s.started_at not between '2000-01-01' and now() + interval '5 minutes'
          or s.last_heartbeat_at not between '2000-01-01' and now() + interval '5 minutes'
          or s.last_activity_at not between '2000-01-01' and now() + interval '5 minutes'
          or s.ended_at not between '2000-01-01' and now() + interval '5 minutes'),
        -- Nothing is computed on a time that a client may have put out of bounds.
        'clocks', count(*) filter (where s.status = 'active' and case
          when s.last_heartbeat_at between '2000-01-01' and now() + interval '1 day'
            and s.updated_at between '2000-01-01' and now() + interval '1 day'
          then s.updated_at > s.last_heartbeat_at + interval '10 minutes' end),
        'resumed', count(*) filter (where s.status not in ('active', 'idle') and case
          when s.last_heartbeat_at between '2000-01-01' and now() + interval '1 day'
            and s.ended_at between '2000-01-01' and now() + interval '1 day'
          then s.last_heartbeat_at > s.ended_at + interval '1 minute' end)
      )::text, 'UTF8'), 'hex') as x
      from public.user_sessions as s
    $$, false, false, '')::text from '<x>([0-9a-f]*)</x>'), 'hex'), 'UTF8')::json
  end
)::text
from pg_catalog.pg_roles as r
where r.rolname = current_user
