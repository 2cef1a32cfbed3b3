-- What the team's sessctl.toml declares of the table, as migrate last applied it: platforms, end-reasons and without-indexes.
create table if not exists sessctl.declared (
  key text constraint declared_pkey primary key,
  list text[] not null,
  applied_at timestamptz not null default now()
);
