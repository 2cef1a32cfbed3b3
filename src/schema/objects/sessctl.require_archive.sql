-- Refuses to delete without an archive where one is required. Whatever deletes calls it, so nothing goes around it.
create or replace function sessctl.require_archive()
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if exists (select from sessctl.job as j where j.name = 'cleanup' and j.archive_required) then
    raise exception 'this database requires an archive: a cleanup without --archive deletes nothing'
      using errcode = 'object_not_in_prerequisite_state',
        hint = 'Run sessctl cleanup --archive DIR. To delete without an archive from now on, run sessctl cleanup --no-archive-required.';
  end if;
end
$$;
