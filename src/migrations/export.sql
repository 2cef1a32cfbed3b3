-- The table public.user_sessions and what belongs to it: versions {first} to {last} of sessctl's migrations.
-- Written by sessctl {release} for the supabase CLI. Don't edit it: sessctl verify would call the result drift.
--
-- Where these versions are applied and the table is there it changes nothing. Where public.user_sessions is missing or empty it applies them, with their
-- rows in sessctl's history. Anywhere else it fails before any change, and sessctl migrate is to be run.
-- It is one statement, and so one transaction, whatever runs it.
do ${tag}$
declare
  -- All versions up to {last}, as the history has them.
  release constant text[] := array[
    {release_rows}
  ];
  -- Those that an earlier file brings.
  earlier constant text[] := release[:{first} - 1];
  -- CHECKs that get a declared list.
  declared constant text[] := {declared_checks};
  recorded text[] := '{}';
  kind "char";
  obstacle text;
  command text := 'sessctl migrate';
  migration record;
  roles regrole[];
  role regrole;
begin
  perform
    pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
    pg_catalog.set_config('standard_conforming_strings', 'on', true),
    pg_catalog.set_config('lock_timeout', '2s', true),
    -- Sessions that this role can't see count too: without this they would be passed over.
    pg_catalog.set_config('row_security', 'off', true);
  -- As sessctl migrate does: one process at a time.
  if not pg_try_advisory_xact_lock(1936028531, 1) then
    raise exception 'another sessctl migrate is running: run this again when it has ended';
  end if;
  if to_regclass('sessctl.schema_history') is not null then
    recorded := array(select concat_ws(' ', h.version, h.name, h.checksum) from sessctl.schema_history as h order by h.version);
  end if;
  select c.relkind into kind from pg_class as c where c.oid = to_regclass('public.user_sessions');
  if release <@ recorded and kind = 'r' then
    raise notice 'sessctl: version {last} is applied, nothing to do';
    return;
  end if;

  if release <@ recorded and kind is null then
    obstacle := 'public.user_sessions was dropped or moved';
    command := 'sessctl migrate --repair';
  elsif not release <@ recorded and recorded <> release[:cardinality(recorded)] then
    obstacle := 'the database has another history of sessctl''s migrations';
  elsif not earlier <@ recorded then
    obstacle := 'the database lacks migrations of an earlier file';
  elsif kind is null and recorded <> '{}' then
    obstacle := 'public.user_sessions was dropped or moved';
  elsif kind <> 'r' then
    obstacle := 'public.user_sessions is not a table';
  elsif exists (
    select from pg_constraint as c
    where c.conrelid = to_regclass('public.user_sessions') and c.conname = any (declared)
      and pg_get_constraintdef(c.oid) !~ ' = (ANY \(+ARRAY\[|''[^'']*''::)'
  ) then
    obstacle := 'a CHECK that is to get a declared list is not a list';
  elsif kind = 'r' then
    -- Only an empty table is worth a lock.
    for look in 1..2 loop
      if exists (select from public.user_sessions) then
        obstacle := 'public.user_sessions has sessions';
        exit;
      end if;
      lock table public.user_sessions in access exclusive mode;
    end loop;
  end if;
  if obstacle is not null then
    raise exception '%: run %, then supabase migration repair --status applied {timestamp}', obstacle, command;
  end if;

{before}
  for migration in
    select m.* from (values
{migrations}
    ) as m (version, name, checksum, sql)
    order by m.version
  loop
    continue when concat_ws(' ', migration.version, migration.name, migration.checksum) = any (recorded);
    -- Roles that run maintenance: what a migration drops and makes again, it drops their rights on.
    roles := array(select r.value::oid::regrole from json_array_elements_text((
{maintenance_roles}
    )::json) as r);
    execute migration.sql;
    insert into sessctl.schema_history (version, name, applied_on, checksum)
    values (
      migration.version, migration.name,
      to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), migration.checksum
    );
    begin
      foreach role in array roles loop
        perform sessctl.grant_maintenance(role);
      end loop;
    exception when undefined_function or undefined_table then
      -- Between two migrations an object may be missing; after the later one the rights are renewed.
      null;
    end;
  end loop;
{declaration}
end
${tag}$;
