-- The table, with row level security on in the transaction that creates it.
-- On a database that has it already (the original script, completely or in part) the same statements bring columns,
-- constraints and settings to the state of a fresh one: rows, extra columns and extra indexes stay.
-- (squawk's rules against such statements are off: where they change nothing they cost no scan.)
-- What a team added stays too, where it touches no promise: defaults of user_id, session_id and platform, FORCE ROW LEVEL SECURITY,
-- stricter NOT NULL, comments and storage parameters.
-- sessctl: replaces table
-- sessctl: replaces column
-- sessctl: replaces constraint
-- sessctl: replaces index
-- sessctl: drops index idx_user_sessions_session_id (it repeats the one of the UNIQUE constraint)
-- squawk-ignore-file adding-field-with-default, adding-not-nullable-field, ban-drop-default, ban-drop-not-null, prefer-bigint-over-int

create table if not exists public.user_sessions (
  id uuid default gen_random_uuid() constraint user_sessions_pkey primary key,
  user_id uuid not null constraint user_sessions_user_id_fkey references auth.users (id) on delete cascade,
  session_id text not null constraint user_sessions_session_id_key unique,
  platform text not null
);

alter table public.user_sessions enable row level security;
do $$
begin
  if not exists (
    select from pg_catalog.pg_class c
    cross join lateral pg_catalog.pg_options_to_table(c.reloptions) o
    where c.oid = 'public.user_sessions'::regclass and o.option_name = 'fillfactor'
  ) then
    alter table public.user_sessions set (fillfactor = 90);
  end if;
end
$$;

alter table public.user_sessions
  add column if not exists id uuid default gen_random_uuid(),
  add column if not exists started_at timestamptz default now(),
  add column if not exists last_activity_at timestamptz default now(),
  add column if not exists ended_at timestamptz,
  add column if not exists device_info jsonb default '{}',
  add column if not exists location_info jsonb default '{}',
  add column if not exists user_agent text,
  add column if not exists ip_address inet,
  add column if not exists total_duration_seconds integer default 0,
  add column if not exists activity_count integer default 0,
  add column if not exists last_heartbeat_at timestamptz default now(),
  add column if not exists status text default 'active',
  add column if not exists end_reason text,
  add column if not exists created_at timestamptz default now(),
  add column if not exists updated_at timestamptz default now();

alter table public.user_sessions
  alter column id set default gen_random_uuid(),
  alter column id set not null,
  alter column user_id set not null,
  alter column session_id set not null,
  alter column platform set not null,
  alter column started_at set default now(),
  alter column started_at set not null,
  alter column last_activity_at set default now(),
  alter column last_activity_at set not null,
  alter column ended_at drop default,
  alter column ended_at drop not null,
  alter column device_info set default '{}',
  alter column device_info set not null,
  alter column location_info set default '{}',
  alter column total_duration_seconds set default 0,
  alter column activity_count set default 0,
  alter column last_heartbeat_at set default now(),
  alter column status set default 'active',
  alter column status set not null,
  alter column end_reason drop default,
  alter column end_reason drop not null,
  alter column created_at set default now(),
  alter column created_at set not null,
  alter column updated_at set default now(),
  alter column updated_at set not null;

-- Constraints: kept where they are right, renamed where only the name differs, replaced where the rule differs.
do $$
declare
  want record;
  other text;
begin
  for want in
    select * from (values
      ('user_sessions_pkey', 'PRIMARY KEY (id)'),
      ('user_sessions_session_id_key', 'UNIQUE (session_id)'),
      ('user_sessions_user_id_fkey', 'FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE'),
      ('user_sessions_status_check', 'CHECK ((status = ANY (ARRAY[''active''::text, ''idle''::text, ''ended''::text, ''timeout''::text])))')
    ) as wanted (name, definition)
  loop
    if exists (
      select from pg_catalog.pg_constraint c
      where c.conrelid = 'public.user_sessions'::regclass and c.conname = want.name
        and pg_catalog.pg_get_constraintdef(c.oid) = want.definition
    ) then
      continue;
    end if;
    execute pg_catalog.format('alter table public.user_sessions drop constraint if exists %I', want.name);
    select c.conname into other
    from pg_catalog.pg_constraint c
    where c.conrelid = 'public.user_sessions'::regclass and pg_catalog.pg_get_constraintdef(c.oid) = want.definition
    limit 1;
    if found then
      execute pg_catalog.format('alter table public.user_sessions rename constraint %I to %I', other, want.name);
    else
      execute pg_catalog.format('alter table public.user_sessions add constraint %I %s', want.name, want.definition);
    end if;
  end loop;
end
$$;

-- Platforms and end reasons are the team's: a CHECK on the column stays, whatever it allows. Where none is there it gets the
-- list that migrate was given, as JSON in a setting, else the script's. migrate applies a declared list after the migrations.
do $$
declare
  want record;
  there record;
  allowed text;
begin
  for want in
    select *, pg_catalog.format('user_sessions_%s_check', col) as name
    from (values
      ('platform', 'sessctl.platforms', array['web', 'ios-external', 'ios-internal', 'ios-widget', 'macos-internal']),
      ('end_reason', 'sessctl.end_reasons', array['logout', 'timeout', 'manual', 'app_close', 'crash'])
    ) as wanted (col, setting, script)
  loop
    -- The one of our name, else one that is a list, else any.
    select c.conname as name, pg_catalog.pg_get_constraintdef(c.oid) ~ ' = (ANY \(+ARRAY\[|''[^'']*''::)' as is_list, c.convalidated as is_valid
    into there
    from pg_catalog.pg_constraint c
    join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attname = want.col
    where c.conrelid = 'public.user_sessions'::regclass
      and (c.conname = want.name or c.contype = 'c' and c.conkey = array[a.attnum])
    order by c.conname = want.name desc, is_list desc, c.conname
    limit 1;
    if not found then
      select pg_catalog.string_agg(pg_catalog.quote_literal(v.value), ', ' order by v.n) into allowed
      from pg_catalog.json_array_elements_text(
        coalesce(nullif(pg_catalog.current_setting(want.setting, true), '')::json, pg_catalog.to_json(want.script))
      ) with ordinality v (value, n);
      execute pg_catalog.format(
        'alter table public.user_sessions add constraint %I check (%I = any (array[%s]))', want.name, want.col, allowed);
    elsif there.is_list and there.name <> want.name then
      execute pg_catalog.format('alter table public.user_sessions rename constraint %I to %I', there.name, want.name);
    end if;
    if there.is_list and not there.is_valid then
      execute pg_catalog.format('alter table public.user_sessions validate constraint %I', want.name);
    end if;
  end loop;
end
$$;

-- Indexes: the one that repeats the UNIQUE constraint is dropped, and so is one that has a name of ours over other columns.
-- An empty table gets them here, but for those that migrate was told to leave out, as JSON in a setting; with rows in it each is
-- built concurrently, by a migration of its own.
do $$
declare
  want record;
begin
  if exists (
    select from pg_catalog.pg_index i
    where i.indexrelid = pg_catalog.to_regclass('public.idx_user_sessions_session_id')
      and i.indrelid = 'public.user_sessions'::regclass
  ) then
    drop index public.idx_user_sessions_session_id;
  end if;
  for want in
    select * from (values
      ('idx_user_sessions_user_id', '(user_id)'),
      ('idx_user_sessions_platform', '(platform)'),
      ('idx_user_sessions_status', '(status)'),
      ('idx_user_sessions_started_at', '(started_at)'),
      ('idx_user_sessions_last_activity', '(last_activity_at)'),
      ('idx_user_sessions_active', '(user_id, status) WHERE (status = ''active''::text)'),
      ('idx_user_sessions_idle', '(status) WHERE (status = ''idle''::text)'),
      ('idx_user_sessions_unsettled',
       '(ended_at) WHERE ((status = ANY (ARRAY[''ended''::text, ''timeout''::text])) AND ((ended_at IS NULL) OR (ended_at < started_at)))'),
      ('idx_user_sessions_ended_at',
       '(ended_at) WHERE ((ended_at IS NOT NULL) AND (status <> ALL (ARRAY[''active''::text, ''idle''::text])))')
    ) as wanted (name, definition)
  loop
    if exists (
      select from pg_catalog.pg_index i
      join pg_catalog.pg_class c on c.oid = i.indexrelid
      where i.indrelid = 'public.user_sessions'::regclass and c.relname = want.name
        and pg_catalog.pg_get_indexdef(i.indexrelid) <> pg_catalog.format(
          'CREATE INDEX %I ON public.user_sessions USING btree %s', want.name, want.definition)
    ) then
      execute pg_catalog.format('drop index public.%I', want.name);
    end if;
    if not exists (select from public.user_sessions)
      and not coalesce(
        nullif(pg_catalog.current_setting('sessctl.without_indexes', true), '')::jsonb @> pg_catalog.to_jsonb(want.name), false)
    then
      execute pg_catalog.format('create index if not exists %I on public.user_sessions %s', want.name, want.definition);
    end if;
  end loop;
end
$$;

-- Comments: where there is none, or the script's own list of platforms.
do $$
declare
  want record;
  target text;
begin
  for want in
    select w.*, pg_catalog.col_description('public.user_sessions'::regclass, coalesce(a.attnum, 0)) as there
    from (values
      (null, 'Tracks user sessions across web and mobile platforms'),
      ('session_id', 'Unique client-generated session identifier'),
      ('platform', 'Platform of the client'),
      ('device_info', 'JSON containing device metadata (OS, version, model, etc.)'),
      ('location_info', 'JSON containing location data (country, timezone, etc.)'),
      ('total_duration_seconds', 'Total session duration in seconds'),
      ('activity_count', 'Number of activities/interactions during session'),
      ('last_heartbeat_at', 'Last heartbeat received from client')
    ) as w (col, comment)
    left join pg_catalog.pg_attribute a on a.attrelid = 'public.user_sessions'::regclass and a.attname = w.col
  loop
    if want.there is null or want.there = 'Platform: web, ios-external, ios-internal, ios-widget, macos-internal' then
      target := coalesce('column public.user_sessions.' || want.col, 'table public.user_sessions');
      execute pg_catalog.format('comment on %s is %L', target, want.comment);
    end if;
  end loop;
end
$$;

notify pgrst, 'reload schema';
