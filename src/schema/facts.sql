-- What a database has of the schema that the migrations make, as rows of (object, properties).
-- No parameters. Reads the catalogs alone, whatever the role may do with the objects; the caller sets search_path to ''
-- and the other settings that names and expressions are printed by, see facts_settings.sql.
-- What one major version prints in another way than the next is levelled here and nowhere else.
with
relations as (
  select c.oid, c.relname, c.relkind, c.relowner, c.relacl, c.reloptions, c.relpersistence, c.relrowsecurity,
    c.relforcerowsecurity, c.relreplident, c.relnamespace, n.nspname,
    case c.relkind when 'r' then 'table' when 'v' then 'view' when 'm' then 'materialized view' when 'p' then 'partitioned table' when 'f' then 'foreign table' when 'S' then 'sequence' else c.relkind::text end as kind,
    format('%s.%s', n.nspname, c.relname) as name
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where c.relkind in ('r', 'v', 'm', 'p', 'f', 'S')
    and (n.nspname = 'sessctl'
      or n.nspname = 'public' and c.relname in ('user_sessions', 'active_sessions_summary'))
),
sessions as (
  select * from relations where name = 'public.user_sessions'
),
-- Of these, columns, constraints and indexes too. Those of a private table have its name before theirs.
tables as (
  select oid, name, nspname, case when nspname = 'sessctl' then name || '.' else '' end as prefix
  from relations where name = 'public.user_sessions' or nspname = 'sessctl' and relkind = 'r'
),
routines as (
  select p.*, format('function %s.%s(%s)', n.nspname, p.proname, pg_catalog.oidvectortypes(p.proargtypes)) as object
  from pg_catalog.pg_proc as p
  join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  where n.nspname = 'sessctl'
    or n.nspname = 'public' and p.proname in (
      'update_user_sessions_updated_at_column', 'calculate_session_duration',
      'cleanup_old_sessions', 'end_inactive_sessions')
),
private as (
  select n.oid, n.nspowner, n.nspacl from pg_catalog.pg_namespace as n where n.nspname = 'sessctl'
),
owners (object, owner) as (
  select format('%s %s', kind, name), relowner from relations
  union all
  select object, proowner from routines
),
-- Materialized: it is a view over two tables.
roles as materialized (
  select oid, rolname, rolsuper, rolbypassrls from pg_catalog.pg_roles
),
-- Rights as (object, owner, rights, what its kind grants by default): a missing list means the default.
rights (object, owner, acl, usual) as (
  select format('%s %s', r.kind, r.name), r.relowner, coalesce(r.relacl, d.acl), d.acl
  from relations as r cross join lateral pg_catalog.acldefault('r', r.relowner) as d (acl)
  union all
  select format('column %s.%s', r.name, a.attname), r.relowner, a.attacl, null
  from relations as r join pg_catalog.pg_attribute as a on a.attrelid = r.oid
  where a.attacl is not null and not a.attisdropped
  union all
  select p.object, p.proowner, coalesce(p.proacl, d.acl), d.acl
  from routines as p cross join lateral pg_catalog.acldefault('f', p.proowner) as d (acl)
  union all
  select 'schema sessctl', n.nspowner, coalesce(n.nspacl, d.acl), d.acl
  from private as n cross join lateral pg_catalog.acldefault('n', n.nspowner) as d (acl)
),
-- A row is an object and properties of it; the values of one object may come in several rows.
facts (object, properties) as (
  select 'schema sessctl', json_build_object('present', 'yes') from private
  union all
  select o.object, json_build_object('owner',
    case
      when o.owner = (select nspowner from private) and (
        pg_catalog.pg_get_userbyid(o.owner) in ('postgres', current_user)
        or (select r.rolsuper from roles as r where r.oid = o.owner)
      ) then 'the owner of schema sessctl'
      else pg_catalog.pg_get_userbyid(o.owner)::text
    end)
  from owners as o
  union all
  select format('%s %s', r.kind, r.name), json_build_object(
    -- obj_description would be planned again for each row.
    'comment', case when r.nspname = 'public' then (
      select d.description from pg_catalog.pg_description as d
      where d.objoid = r.oid and d.classoid = 'pg_catalog.pg_class'::regclass and d.objsubid = 0
    ) end,
    'options', nullif(array_to_string(array(
      select case r.relkind when 'v' then regexp_replace(o, '=(t|tr|tru|y|ye|yes|on|1)$', '=true') else o end
      from unnest(r.reloptions) as o order by o), ', '), ''),
    'persistence', case when r.relkind = 'r' then
      case r.relpersistence when 'p' then 'permanent' when 'u' then 'unlogged' else 'temporary' end
    end,
    'row level security', case when r.relkind = 'r' then case when r.relrowsecurity then 'on' else 'off' end end,
    'force row level security', case when r.relkind = 'r' then case when r.relforcerowsecurity then 'on' else 'off' end end,
    -- Up to version 15 each column of a view has its table's name or alias, later only where two tables are read.
    -- A function or type of a schema with such a name keeps it.
    'definition', case when r.relkind in ('v', 'm') then
      trim(regexp_replace(regexp_replace(pg_catalog.pg_get_viewdef(r.oid), '(?<![:''])\m(s|user_sessions)\.(?!\w+\()', '', 'g'), '\s*\n\s*', E'\n', 'g'))
    end,
    -- As V5 has them, which drops a view whose columns are others.
    'columns', case when r.relkind in ('v', 'm') then (
      select string_agg(format('%s %s%s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
        case when a.attcollation <> t.typcollation then format(' collate %s', a.attcollation::regcollation) end), ', ' order by a.attnum)
      from pg_catalog.pg_attribute as a
      join pg_catalog.pg_type as t on t.oid = a.atttypid
      where a.attrelid = r.oid and a.attnum > 0
    ) end)
  from relations as r
  union all
  select 'table public.user_sessions', json_build_object(
    'replica identity', case r.relreplident when 'd' then 'default' when 'f' then 'full' when 'n' then 'nothing' else 'index' end,
    'publications', (
      select string_agg(p.pubname, ', ' order by p.pubname)
      from pg_catalog.pg_publication as p
      where p.puballtables or exists (
        select from pg_catalog.pg_publication_rel as pr where pr.prpubid = p.oid and pr.prrelid = r.oid
      ) or exists (
        select from pg_catalog.pg_publication_namespace as pn where pn.pnpubid = p.oid and pn.pnnspid = r.relnamespace)
    ),
    'inherits', (
      select string_agg(i.inhparent::regclass::text, ', ' order by i.inhseqno)
      from pg_catalog.pg_inherits as i where i.inhrelid = r.oid
    ),
    'children', (
      select string_agg(i.inhrelid::regclass::text, ', ' order by i.inhrelid::regclass::text)
      from pg_catalog.pg_inherits as i where i.inhparent = r.oid
    ),
    'referenced by', (
      select string_agg(
        format('%s (%s%s)', c.conrelid::regclass, c.conname, case when not exists (
          -- As src/doctor/foreign_keys.sql has it, where the reasons stand.
          select
          from pg_catalog.pg_index as i
          where i.indrelid = c.conrelid and i.indisvalid and (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] @> c.conkey
            and (i.indpred is null or pg_catalog.pg_get_expr(i.indpred, i.indrelid) like '(% IS NOT NULL)')
        ) then ', without an index' end),
        ', ' order by c.conrelid::regclass::text, c.conname)
      from pg_catalog.pg_constraint as c where c.confrelid = r.oid and c.contype = 'f' and c.conrelid <> r.oid
    ))
  from sessions as r where r.relkind = 'r'
  union all
  select format('column %s.%s', r.name, a.attname), json_build_object(
    'type', pg_catalog.format_type(a.atttypid, a.atttypmod)
      || case when a.attcollation <> t.typcollation then format(' collate %s', a.attcollation::regcollation) else '' end,
    'nullable', case when a.attnotnull then 'no' else 'yes' end,
    'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid),
    'identity', nullif(a.attidentity::text, ''),
    'generated', nullif(a.attgenerated::text, ''),
    'comment', case when r.nspname = 'public' then (
      select d.description from pg_catalog.pg_description as d
      where d.objoid = r.oid and d.classoid = 'pg_catalog.pg_class'::regclass and d.objsubid = a.attnum
    ) end)
  from tables as r
  join pg_catalog.pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  join pg_catalog.pg_type as t on t.oid = a.atttypid
  left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
  union all
  -- From version 18 on a NOT NULL is a constraint too; the column's fact says it on all of them.
  select format('constraint %s%s', r.prefix, c.conname), json_build_object(
    'definition', regexp_replace(pg_catalog.pg_get_constraintdef(c.oid), ' NOT VALID$', ''),
    'validated', case when c.convalidated then 'yes' else 'no' end,
    -- DISABLE TRIGGER ALL, as a restore does it, leaves a foreign key that nothing checks, and a cascade that does not run.
    'enforced', case when c.contype = 'f' then
      case when exists (select from pg_catalog.pg_trigger as t where t.tgconstraint = c.oid and t.tgenabled <> 'O') then 'no' else 'yes' end
    end)
  from tables as r
  join pg_catalog.pg_constraint as c on c.conrelid = r.oid and c.contype in ('p', 'u', 'f', 'c', 'x')
  union all
  select format('index %s%s', r.prefix, c.relname), json_build_object(
    'definition', pg_catalog.pg_get_indexdef(i.indexrelid),
    'valid', case when i.indisvalid and i.indisready then 'yes' else 'no' end)
  from tables as r
  join pg_catalog.pg_index as i on i.indrelid = r.oid
  join pg_catalog.pg_class as c on c.oid = i.indexrelid
  union all
  select format('policy %s', p.polname), json_build_object(
    'command', case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
    'roles', (
      select string_agg(distinct case when m = 0 then 'public' else pg_catalog.pg_get_userbyid(m)::text end, ', ')
      from unnest(p.polroles) as m
    ),
    'kind', case when p.polpermissive then 'permissive' else 'restrictive' end,
    'using', pg_catalog.pg_get_expr(p.polqual, p.polrelid),
    'check', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
  from sessions as r
  join pg_catalog.pg_policy as p on p.polrelid = r.oid
  union all
  select
    case when r.name = 'public.user_sessions' then format('trigger %s', t.tgname) else format('trigger %s on %s', t.tgname, r.name) end,
    json_build_object(
      'definition', pg_catalog.pg_get_triggerdef(t.oid),
      'enabled', case when r.name = 'public.user_sessions' then
        case t.tgenabled when 'O' then 'yes' when 'D' then 'no' when 'R' then 'on replicas only' else 'always' end
      end)
  from relations as r
  join pg_catalog.pg_trigger as t on t.tgrelid = r.oid and not t.tgisinternal
  union all
  select format('rule %s on %s', w.rulename, r.name), json_build_object('definition', pg_catalog.pg_get_ruledef(w.oid))
  from relations as r
  join pg_catalog.pg_rewrite as w on w.ev_class = r.oid and w.rulename <> '_RETURN'
  union all
  select p.object, json_build_object(
    'kind', case p.prokind when 'f' then 'function' when 'p' then 'procedure' when 'a' then 'aggregate' else 'window' end,
    'arguments', pg_catalog.pg_get_function_arguments(p.oid),
    'result', pg_catalog.pg_get_function_result(p.oid),
    'language', (select l.lanname from pg_catalog.pg_language as l where l.oid = p.prolang),
    'volatility', case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
    'on null input', case when p.proisstrict then 'returns null' else 'called' end,
    'security', case when p.prosecdef then 'definer' else 'invoker' end,
    'leakproof', case when p.proleakproof then 'yes' else 'no' end,
    'parallel', case p.proparallel when 's' then 'safe' when 'r' then 'restricted' else 'unsafe' end,
    'settings', nullif(array_to_string(array(select s from unnest(p.proconfig) as s order by s), ', '), ''),
    -- Blanks count as one, and at a line's ends as none; line ends count as one: without it what follows a comment would be
    -- part of it. (Replaced by way of two letters that no text has: by a regular expression it takes as long as all else.)
    'body', trim(E' \n' from regexp_replace(replace(replace(
      replace(replace(replace(translate(p.prosrc, E'\t\r', '  '), ' ', E'\x01\x02'), E'\x02\x01', ''), E'\x01\x02', ' '),
      E' \n', E'\n'), E'\n ', E'\n'), '\n+', E'\n', 'g')))
  from routines as p
  union all
  select r.object, json_build_object(
    format('grant %s to %s', lower(x.privilege_type), case when x.grantee = 0 then 'PUBLIC' else pg_catalog.pg_get_userbyid(x.grantee)::text end),
    case when bool_or(x.is_grantable) then 'with grant option' else 'yes' end)
  from rights as r
  cross join lateral pg_catalog.aclexplode(r.acl) as x
  where x.grantee <> r.owner
  group by r.object, x.privilege_type, x.grantee
  union all
  -- MAINTAIN came with version 17: a list from an older one can't have it.
  select r.object, json_build_object('owner lacks', string_agg(lower(u.privilege_type), ', ' order by u.privilege_type))
  from rights as r
  cross join lateral pg_catalog.aclexplode(r.usual) as u
  where u.grantee = r.owner and u.privilege_type <> 'MAINTAIN'
    and not exists (
      select from pg_catalog.aclexplode(r.acl) as x where x.grantee = r.owner and x.privilege_type = u.privilege_type)
  group by r.object
  union all
  select 'schema sessctl', json_build_object(
    format('grant default %s on %s to %s', lower(x.privilege_type),
      case d.defaclobjtype when 'r' then 'tables' when 'f' then 'functions' when 'S' then 'sequences' else 'types' end,
      case when x.grantee = 0 then 'PUBLIC' else pg_catalog.pg_get_userbyid(x.grantee)::text end),
    'yes')
  from private as n
  join pg_catalog.pg_default_acl as d on d.defaclnamespace = n.oid
  cross join lateral pg_catalog.aclexplode(d.defaclacl) as x
  where x.grantee <> d.defaclrole
  union all
  select format('role %s', a.rolname), json_build_object(
    'row level security', case when a.rolsuper or a.rolbypassrls or exists (
      select from roles as o
      where (o.rolsuper or o.rolbypassrls or o.oid in (select relowner from sessions))
        and pg_catalog.pg_has_role(a.oid, o.oid, 'member')
    ) then 'bypassed' else 'applies' end,
    'rights through', (
      select string_agg(pg_catalog.pg_get_userbyid(g.role)::text, ', ' order by pg_catalog.pg_get_userbyid(g.role)::text)
      from (
        select x.grantee from rights as r cross join lateral pg_catalog.aclexplode(r.acl) as x
        union
        select o.oid from roles as o where o.rolname in ('pg_read_all_data', 'pg_write_all_data')
      ) as g (role)
      where g.role not in (0, a.oid) and pg_catalog.pg_has_role(a.oid, g.role, 'member')
    ))
  from roles as a
  where a.rolname in ('anon', 'authenticated', 'service_role')
    and (exists (select from sessions) or pg_catalog.to_regnamespace('sessctl') is not null)
  union all
  -- Views and functions of others that read the sessions with their owner's rights, and that users of the API reach. Of a
  -- function only its text says what it reads.
  select format('%s %s', o.kind, o.name), json_build_object('reads all sessions for', r.names)
  from (
    select distinct case c.relkind when 'v' then 'view' else 'materialized view' end as kind, format('%s.%s', n.nspname, c.relname) as name,
      n.oid as schema, c.oid as relation, null::oid as routine
    from sessions as s
    join pg_catalog.pg_depend as d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = s.oid
      and d.classid = 'pg_catalog.pg_rewrite'::regclass
    join pg_catalog.pg_rewrite as w on w.oid = d.objid
    join pg_catalog.pg_class as c on c.oid = w.ev_class and c.relkind in ('v', 'm')
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where not exists (
        select from unnest(c.reloptions) as o where o ~ '^security_invoker=(t|tr|tru|true|y|ye|yes|on|1)$')
      and not exists (select from relations as r where r.oid = c.oid)
    union all
    select 'function', format('%s.%s(%s)', n.nspname, p.proname, pg_catalog.oidvectortypes(p.proargtypes)), n.oid, null, p.oid
    from pg_catalog.pg_proc as p
    join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
    where p.prosecdef and p.prosrc ~* '\muser_sessions\M' and not exists (select from routines as r where r.oid = p.oid)
  ) as o
  cross join lateral (
    select string_agg(a.rolname::text, ', ' order by a.rolname::text) as names
    from roles as a
    where a.rolname in ('anon', 'authenticated') and has_schema_privilege(a.oid, o.schema, 'USAGE')
      and case when o.routine is null then has_any_column_privilege(a.oid, o.relation, 'SELECT')
        else has_function_privilege(a.oid, o.routine, 'EXECUTE') end
  ) as r
  where r.names is not null
)
select json_build_object(
  'facts', (
    select coalesce(json_agg(json_build_array(object, properties)), '[]') from facts
  ),
  'history', case when exists (select from relations where name = 'sessctl.schema_history' and relkind = 'r') then
    -- The table may be absent, and a statement that names it would fail then: it stands in a text, as does its answer.
    convert_from(decode(substring(query_to_xml(
      'select encode(convert_to(coalesce(json_agg(h order by h.version), ''[]'')::text, ''UTF8''), ''hex'') as x from sessctl.schema_history as h',
      false, false, '')::text from '<x>([0-9a-f]*)</x>'), 'hex'), 'UTF8')::json
  end,
  -- Somebody may have altered the table: what is no list counts as absent.
  'declared', case when exists (
    select from relations as r
    where r.name = 'sessctl.declared' and r.relkind = 'r'
      and has_table_privilege(r.oid, 'SELECT') and has_schema_privilege(r.relnamespace, 'USAGE')
  ) then
    convert_from(decode(substring(query_to_xml(
      'select encode(convert_to(coalesce(json_object_agg(d.row ->> ''key'', d.row -> ''list''), ''{}'')::text, ''UTF8''), ''hex'') as x
       from (select to_jsonb(d) as row from sessctl.declared as d) as d
       where d.row ->> ''key'' is not null and jsonb_typeof(d.row -> ''list'') = ''array'' and not d.row -> ''list'' @> ''null''',
      false, false, '')::text from '<x>([0-9a-f]*)</x>'), 'hex'), 'UTF8')::json
  end
)::text
