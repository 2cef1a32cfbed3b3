-- The settling of a run that is one transaction, of max_rows rows at most. A batch that fails is divided, 20 times in all: what fails
-- then is left, counted as failed, with the message of the last one.
create or replace function sessctl.settle(
  run_id uuid,
  max_rows integer,
  out settled integer,
  out failed integer,
  out message text
)
language plpgsql
set search_path = ''
as $$
declare
  list_size constant integer := 50000;
  due tid[] := '{}'::tid[];
  firsts integer[];
  lasts integer[];
  first integer;
  last integer;
  done integer;
  divisions integer := 0;
begin
  settled := 0;
  failed := 0;
  loop
    due := sessctl.settle_due(list_size, due[cardinality(due)]);
    firsts := array[1];
    lasts := array[least(cardinality(due), max_rows - settled)];
    while cardinality(firsts) > 0 and lasts[1] > 0 loop
      first := firsts[cardinality(firsts)];
      last := lasts[cardinality(lasts)];
      firsts := trim_array(firsts, 1);
      lasts := trim_array(lasts, 1);
      begin
        done := sessctl.settle_batch(due[first:last]);
        perform sessctl.run_add(run_id, 0, done);
        settled := settled + done;
      exception
        when data_exception or integrity_constraint_violation or with_check_option_violation or plpgsql_error or sqlstate 'SC002' then
          if first < last and divisions < 20 then
            divisions := divisions + 1;
            firsts := firsts || array[(first + last) / 2 + 1, first];
            lasts := lasts || array[last, (first + last) / 2];
          else
            failed := failed + last - first + 1;
            message := sqlerrm;
          end if;
      end;
    end loop;
    exit when cardinality(due) < list_size or settled >= max_rows;
  end loop;
end
$$;
