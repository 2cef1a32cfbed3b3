-- refinery's history, in a schema that the API can't see.
create table if not exists sessctl.schema_history (
  version integer constraint schema_history_pkey primary key,
  name varchar(255),
  applied_on varchar(255),
  checksum varchar(255)
);
