-- refinery's history, in a schema that the API can't see.
create schema if not exists sessctl;
create table if not exists sessctl.schema_history (
  version integer primary key,
  name varchar(255),
  applied_on varchar(255),
  checksum varchar(255)
);
