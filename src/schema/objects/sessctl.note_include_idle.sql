-- Notes whether sweeps end idle sessions too: without one that does, nothing ends them. Null: nothing is noted.
create or replace function sessctl.note_include_idle(include_idle boolean)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update sessctl.job as j
  set include_idle = note_include_idle.include_idle
  where j.name = 'end-inactive' and j.include_idle <> note_include_idle.include_idle;
end
$$;
