-- keep_referenced: sessions that a foreign key of another table keeps are no failure.
create or replace procedure sessctl.run_cleanup(
  days integer,
  keep_referenced boolean default false,
  max_runtime interval default '4 minutes'
)
language plpgsql
as $$
begin
  call sessctl.run_to_end('cleanup', days, keep_referenced, max_runtime);
end
$$;
