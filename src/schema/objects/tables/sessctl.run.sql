-- One row per run of a job, from every entry point. A batch adds its count in its own transaction, so that count and sessions
-- stay together whatever is lost. outcome is null while the run is running.
create table if not exists sessctl.run (
  id uuid constraint run_pkey primary key,
  job text not null,
  -- cli, pg_cron, api (a request of PostgREST) or sql (any other session), and the role that ran it.
  source text not null,
  role name not null default current_user,
  -- Raised by a client that lost its connection: a batch of an older generation rolls back.
  generation integer not null default 0,
  started_at timestamptz not null default clock_timestamp(),
  progress_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  cutoff timestamptz not null,
  batches integer not null default 0,
  rows_done bigint not null default 0,
  -- Ended sessions whose implausible ended_at was replaced before.
  rows_settled bigint not null default 0,
  rows_failed bigint not null default 0,
  rows_left bigint,
  outcome text constraint run_outcome_check
    check (outcome in ('done', 'skipped', 'interrupted', 'incomplete', 'failed', 'lost')),
  message text
) with (fillfactor = 50);
