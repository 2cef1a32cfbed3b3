-- The columns of the table of sessions, in the order of a fresh database.
create table if not exists public.user_sessions (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null,
  session_id text not null,
  platform text not null,
  started_at timestamptz not null default now(),
  last_activity_at timestamptz not null default now(),
  ended_at timestamptz,
  device_info jsonb not null default '{}',
  location_info jsonb default '{}',
  user_agent text,
  ip_address inet,
  total_duration_seconds integer default 0,
  activity_count integer default 0,
  last_heartbeat_at timestamptz default now(),
  status text not null default 'active',
  end_reason text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
) with (fillfactor = 90);
