-- Stores whether cleanups require an archive.
select (sessctl.set_archive_required(:required) is not null)::text
