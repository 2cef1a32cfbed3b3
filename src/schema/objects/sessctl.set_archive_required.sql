-- Stores whether cleanups require an archive.
create or replace function sessctl.set_archive_required(required boolean)
returns void
language plpgsql
set search_path = ''
as $$
begin
  insert into sessctl.job as j (name, archive_required) values ('cleanup', required)
  on conflict (name) do update set archive_required = required where j.archive_required <> required;
end
$$;
