-- One row per job, never removed: what runs leave behind when their own rows are pruned after 30 days.
create table if not exists sessctl.job (
  name text constraint job_pkey primary key,
  -- Minutes or days of the newest run.
  threshold integer,
  -- Whether the newest run ends idle sessions too.
  include_idle boolean not null default false,
  -- The run that is running, or was when its client went.
  running uuid,
  last_run uuid,
  last_success uuid,
  last_success_at timestamptz,
  last_failure_at timestamptz,
  runs bigint not null default 0,
  failures bigint not null default 0,
  rows_done bigint not null default 0,
  rows_failed bigint not null default 0,
  archive_required boolean not null default false,
  -- Of anonymize: every session that ended before resume_at has lost what removes names, unless it was locked or came to an older
  -- ended_at since. Once a week a run begins at the beginning again, at full_at the last time.
  resume_at timestamptz,
  full_at timestamptz,
  removes text[],
  -- The table that the views were last found to read: see sessctl.require_table.
  table_id oid,
  pruned_at timestamptz not null default now()
) with (fillfactor = 50);
