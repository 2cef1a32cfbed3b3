-- An expression for about how long the columns of a row u of the table are as texts, in bytes. A text's length is known without
-- reading it; 24 is more than the mean of what has a fixed length.
create or replace function sessctl.archive_bytes()
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select concat_ws(' + ', (count(*) * 24)::text || '::bigint', string_agg(
      format(
        case when a.atttypid in ('text'::regtype, 'varchar'::regtype)
          then 'coalesce(octet_length(u.%I), 0)' else 'coalesce(octet_length(u.%I::text), 0)' end,
        a.attname),
      ' + ') filter (where a.attlen < 0))
    from pg_catalog.pg_attribute as a
    where a.attrelid = 'public.user_sessions'::regclass and a.attnum > 0 and not a.attisdropped
  );
end
$$;
