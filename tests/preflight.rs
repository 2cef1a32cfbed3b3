//! What would let a migration fail after others are in is refused before anything is changed, and once it is put right the
//! database is migrated.

use sessctl::sandbox::Grants;

use crate::common::{BOTH_GENERATIONS, Db, ORIGINAL_SCRIPT, Run, admin, number};
use crate::migrate::fill;
use crate::snapshot::facts;

/// A change to a project with the original script pasted, that migrate refuses.
struct Case<'a> {
    /// As the superuser instead of postgres.
    by_superuser: bool,
    /// {role} is a role of the test.
    sql: &'a str,
    says: &'a [&'a str],
    /// What postgres, or the superuser, does about it. Absent: the statements in the hint.
    repair: Option<&'a str>,
}

const CASE: Case<'static> = Case {
    by_superuser: false,
    sql: "",
    says: &[],
    repair: None,
};

/// Each on both generations of grants.
#[track_caller]
fn are_refused(cases: &[Case<'_>]) {
    for grants in BOTH_GENERATIONS {
        for case in cases {
            is_refused(grants, case);
        }
    }
}

#[track_caller]
fn is_refused(grants: Grants, case: &Case<'_>) {
    let db = Db::pasted(grants);
    let role = format!("bi_{}", db.name);
    admin("postgres")
        .batch_execute(&format!("create role {role}; grant {role} to postgres"))
        .unwrap();
    let execute = |sql: &str| {
        let mut client = if case.by_superuser { db.admin() } else { db.client() };
        let sql = sql.replace("{role}", &role);
        client
            .batch_execute(&sql)
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    };
    execute(case.sql);
    let before = facts(&db);

    let dry_run = db.sessctl(&["migrate", "--dry-run"]).exits(3);
    let run = db.sessctl(&["migrate"]).exits(3);
    for text in case.says {
        let text = text.replace("{role}", &role);
        assert!(run.stderr.contains(&text), "no {text:?} in {}", run.stderr);
    }
    assert!(run.stderr.contains(dry_run.stderr.trim()), "{}", dry_run.stderr);
    assert_eq!(facts(&db), before, "{}", case.sql);
    let applied = "select count(*) from pg_class where relname = 'schema_history' and relkind = 'r'";
    assert_eq!(number(&mut db.client(), applied), 0, "{}", case.sql);

    match case.repair {
        Some(sql) => execute(sql),
        None => execute(statements(&run)),
    }
    db.sessctl(&["migrate", "--yes"]).ok();
    db.sessctl(&["verify"]).ok();
    drop(db);
    admin("postgres").batch_execute(&format!("drop role {role}")).unwrap();
}

/// The statements that a hint tells to run.
#[track_caller]
fn statements(run: &Run) -> &str {
    let hint = run.stderr.split("run: ").nth(1).expect("a hint with statements");
    &hint[..=hint.rfind(';').unwrap()]
}

#[test]
fn rights_that_were_granted_on() {
    are_refused(&[
        Case {
            sql: "grant select on public.user_sessions to authenticated with grant option;
                  set role authenticated; grant select on public.user_sessions to {role}; reset role",
            says: &[
                "select on table public.user_sessions by authenticated to {role}",
                "revoke grant option for select on table public.user_sessions from authenticated cascade;",
                "grant select on table public.user_sessions to {role};",
            ],
            ..CASE
        },
        Case {
            sql: "grant select (platform), update (status) on public.user_sessions to anon with grant option;
                  set role anon; grant select (platform), update (status) on public.user_sessions to {role}; reset role",
            says: &["select (platform) on table public.user_sessions by anon to {role}"],
            ..CASE
        },
        Case {
            sql: "grant select on public.active_sessions_summary to service_role with grant option;
                  set role service_role; grant select on public.active_sessions_summary to public; reset role",
            says: &["select on table public.active_sessions_summary by service_role to public"],
            ..CASE
        },
        Case {
            sql: "grant execute on function public.cleanup_old_sessions(integer) to service_role with grant option;
                  set role service_role; grant execute on function public.cleanup_old_sessions(integer) to {role}; reset role",
            says: &["execute on function public.cleanup_old_sessions(integer) by service_role to {role}"],
            ..CASE
        },
        Case {
            sql: "create schema sessctl; grant usage on schema sessctl to service_role with grant option;
                  set role service_role; grant usage on schema sessctl to {role}; reset role",
            says: &["usage on schema sessctl by service_role to {role}"],
            ..CASE
        },
        // No revoke of the owner's would reach it.
        Case {
            sql: "grant select on public.user_sessions to {role} with grant option; grant usage on schema public to {role};
                  set role {role}; grant select on public.user_sessions to anon; reset role",
            says: &[
                "select on table public.user_sessions by {role} to anon",
                "revoke grant option for select on table public.user_sessions from {role} cascade;",
            ],
            ..CASE
        },
    ]);
}

#[test]
fn rights_that_no_migration_revokes_may_be_granted_on() {
    let db = Db::pasted(Grants::Open);
    let role = format!("bi_{}", db.name);
    db.admin().batch_execute(&format!("create role {role}")).unwrap();
    db.client()
        .batch_execute(&format!(
            "create function public.mine() returns integer language sql as 'select 1';
             grant execute on function public.mine() to authenticated with grant option;
             set role authenticated; grant execute on function public.mine() to {role}"
        ))
        .unwrap();
    db.sessctl(&["migrate"]).ok();
    drop(db);
    admin("postgres").batch_execute(&format!("drop role {role}")).unwrap();
}

#[test]
fn names_of_ours_that_something_else_has() {
    let view = |sql, other, repair| Case {
        sql,
        says: other,
        repair: Some(repair),
        ..CASE
    };
    are_refused(&[
        view(
            "drop view public.active_sessions_summary; create type public.active_sessions_summary as enum ('a')",
            &["type public.active_sessions_summary is there, where sessctl keeps its view"],
            "drop type public.active_sessions_summary",
        ),
        view(
            "drop view public.active_sessions_summary; create type public.active_sessions_summary as (a integer)",
            &["type public.active_sessions_summary is there, where sessctl keeps its view"],
            "drop type public.active_sessions_summary",
        ),
        view(
            "drop view public.active_sessions_summary; create materialized view public.active_sessions_summary as select 1",
            &["materialized view public.active_sessions_summary is there, where sessctl keeps its view"],
            "drop materialized view public.active_sessions_summary",
        ),
        view(
            "drop view public.active_sessions_summary; create table public.active_sessions_summary (platform text)",
            &["table public.active_sessions_summary is there, where sessctl keeps its view"],
            "drop table public.active_sessions_summary",
        ),
        view(
            "drop view public.active_sessions_summary; create sequence public.active_sessions_summary",
            &["sequence public.active_sessions_summary is there, where sessctl keeps its view"],
            "drop sequence public.active_sessions_summary",
        ),
        view(
            "drop view public.active_sessions_summary; create index active_sessions_summary on public.user_sessions (id)",
            &["index public.active_sessions_summary of public.user_sessions is there, where sessctl keeps its view"],
            "drop index public.active_sessions_summary",
        ),
        view(
            "drop view public.active_sessions_summary; drop table public.user_sessions; create domain public.user_sessions as text",
            &["type public.user_sessions is there, where sessctl keeps its table"],
            "drop domain public.user_sessions",
        ),
        view(
            "drop index public.idx_user_sessions_status; create sequence public.idx_user_sessions_status",
            &["sequence public.idx_user_sessions_status is there, where sessctl keeps its index"],
            "drop sequence public.idx_user_sessions_status",
        ),
        view(
            "alter table public.user_sessions drop constraint user_sessions_pkey; create table public.user_sessions_pkey ()",
            &["table public.user_sessions_pkey is there, where sessctl keeps its index"],
            "drop table public.user_sessions_pkey",
        ),
        view(
            "drop function public.cleanup_old_sessions(integer);
             create aggregate public.cleanup_old_sessions(integer) (sfunc = int4pl, stype = integer)",
            &["aggregate public.cleanup_old_sessions(integer) is there, where sessctl keeps its function"],
            "drop aggregate public.cleanup_old_sessions(integer)",
        ),
        view(
            "drop function public.end_inactive_sessions(integer);
             create procedure public.end_inactive_sessions(minutes integer) language sql as 'select 1'",
            &["procedure public.end_inactive_sessions(integer) is there, where sessctl keeps its function"],
            "drop procedure public.end_inactive_sessions(integer)",
        ),
        view(
            "create function public.calculate_session_duration(a timestamptz, b timestamptz, c text default null)
             returns integer language sql as 'select 1'",
            &[
                "function public.calculate_session_duration(timestamp with time zone, timestamp with time zone, text) makes calls of sessctl's function ambiguous",
            ],
            "drop function public.calculate_session_duration(timestamptz, timestamptz, text)",
        ),
    ]);
}

#[test]
fn objects_in_a_schema_sessctl_that_are_not_ours() {
    let private = |sql, says, repair| Case {
        sql,
        says,
        repair: Some(repair),
        ..CASE
    };
    are_refused(&[
        private(
            "create schema sessctl; create procedure sessctl.cleanup_cutoff(days integer) language sql as 'select 1'",
            &["procedure sessctl.cleanup_cutoff(integer) is there, where sessctl keeps its function"],
            "drop schema sessctl cascade",
        ),
        private(
            "create schema sessctl; create function sessctl.cleanup_cutoff(days integer) returns integer language sql as 'select 1'",
            &["schema sessctl has objects of another shape than sessctl's: function sessctl.cleanup_cutoff(integer)"],
            "drop function sessctl.cleanup_cutoff(integer)",
        ),
        private(
            "create schema sessctl; create function sessctl.cleanup_cutoff(n integer) returns timestamptz language sql as 'select now()'",
            &["function sessctl.cleanup_cutoff(integer)"],
            "drop schema sessctl cascade",
        ),
        private(
            "create schema sessctl; create table sessctl.run (id integer); create table sessctl.job (name text)",
            &["table sessctl.job, table sessctl.run"],
            "drop table sessctl.run, sessctl.job",
        ),
        private(
            "create schema sessctl; create view sessctl.session_last_seen as select 1 as one",
            &["view sessctl.session_last_seen"],
            "alter schema sessctl rename to mine",
        ),
        private(
            "create schema sessctl; create table sessctl.ended_session (id integer)",
            &["table sessctl.ended_session is there, where sessctl keeps its view"],
            "alter table sessctl.ended_session rename to mine; alter table sessctl.mine set schema public",
        ),
        private(
            "create schema sessctl; create type sessctl.job as enum ('a')",
            &["type sessctl.job is there, where sessctl keeps its table"],
            "drop type sessctl.job",
        ),
        private(
            "create schema sessctl; create view sessctl.schema_history as select 1 as version",
            &["view sessctl.schema_history is there, where sessctl keeps its table"],
            "drop view sessctl.schema_history",
        ),
    ]);
}

#[test]
fn objects_that_depend_on_what_is_replaced() {
    const OTHER_RESULT: &str = "drop function public.calculate_session_duration(timestamptz, timestamptz);
        create function public.calculate_session_duration(session_start timestamptz, session_end timestamptz)
        returns bigint language sql immutable as 'select 1::bigint';";
    const OTHER_COLUMNS: &str =
        "drop view public.active_sessions_summary; create view public.active_sessions_summary as select 1 as one;";
    let cases = [
        (
            OTHER_RESULT,
            "create view public.ages as select public.calculate_session_duration(now(), now())",
            "function public.calculate_session_duration(timestamp with time zone, timestamp with time zone) must be replaced, and is used by view public.ages",
            "drop view public.ages",
        ),
        (
            OTHER_RESULT,
            "create table public.ages (a timestamptz, age bigint generated always as (public.calculate_session_duration(a, a)) stored)",
            "is used by default value for column age of table public.ages",
            "drop table public.ages",
        ),
        (
            OTHER_RESULT,
            "create function public.age() returns bigint language sql begin atomic select public.calculate_session_duration(now(), now()); end",
            "is used by function public.age()",
            "drop function public.age()",
        ),
        (
            OTHER_RESULT,
            "alter table public.user_sessions add constraint long check (public.calculate_session_duration(started_at, ended_at) < 9)",
            "is used by constraint long on table public.user_sessions",
            "alter table public.user_sessions drop constraint long",
        ),
        (
            OTHER_COLUMNS,
            "create materialized view public.on_top as select * from public.active_sessions_summary",
            "view public.active_sessions_summary must be replaced, and is used by materialized view public.on_top",
            "drop materialized view public.on_top",
        ),
        (
            OTHER_COLUMNS,
            "create table public.saved (rows public.active_sessions_summary[])",
            "is used by column rows of table public.saved",
            "drop table public.saved",
        ),
        (
            OTHER_COLUMNS,
            "create function public.rows() returns setof public.active_sessions_summary language sql as 'select 1'",
            "is used by function public.rows()",
            "drop function public.rows()",
        ),
    ];
    for grants in BOTH_GENERATIONS {
        for (replaced, dependent, says, repair) in cases {
            let case = Case {
                sql: &format!("{replaced} {dependent}"),
                says: &[says],
                repair: Some(repair),
                ..CASE
            };
            is_refused(grants, &case);
        }
    }
}

#[test]
fn columns_of_another_type_or_whose_values_the_server_makes() {
    for (sql, says) in [
        (
            "drop view public.active_sessions_summary; alter table public.user_sessions alter platform type varchar(32)",
            "column platform is character varying(32) instead of text",
        ),
        (
            "create domain public.kind as text check (value <> ''); drop view public.active_sessions_summary;
             alter table public.user_sessions alter platform type public.kind, alter user_agent type varchar(500)",
            "column platform is public.kind instead of text, column user_agent is character varying(500) instead of text",
        ),
        (
            "alter table public.user_sessions drop total_duration_seconds,
               add total_duration_seconds integer generated always as (activity_count * 2) stored",
            "column total_duration_seconds is a generated column",
        ),
        (
            "alter table public.user_sessions alter activity_count drop default, alter activity_count set not null,
               alter activity_count add generated by default as identity",
            "column activity_count is an identity column",
        ),
    ] {
        for grants in BOTH_GENERATIONS {
            let db = Db::pasted(grants);
            fill(&db, 3);
            db.client().batch_execute(sql).unwrap();
            let before = facts(&db);
            let run = db.sessctl(&["migrate"]).exits(3).says(says).says("nothing was changed");
            assert!(facts(&db) == before, "{sql}");
            let hint = run.stderr.split("run: ").nth(1).unwrap();
            db.client()
                .batch_execute(&hint[..hint.find("; then").unwrap()])
                .unwrap();
            db.sessctl(&["migrate"]).ok();
            db.sessctl(&["verify"]).ok();
        }
    }
}

#[test]
fn a_function_of_an_extension_that_must_be_replaced() {
    are_refused(&[Case {
        by_superuser: true,
        sql: "drop function public.cleanup_old_sessions(integer);
              create function public.cleanup_old_sessions(integer) returns bigint language sql as 'select 1::bigint';
              alter function public.cleanup_old_sessions(integer) owner to postgres;
              alter extension plpgsql add function public.cleanup_old_sessions(integer)",
        says: &["function public.cleanup_old_sessions(integer) must be replaced, and is used by extension plpgsql"],
        repair: Some("alter extension plpgsql drop function public.cleanup_old_sessions(integer)"),
    }]);
}

#[test]
fn a_view_whose_columns_have_another_collation_is_replaced() {
    let db = Db::pasted(Grants::Closed);
    db.client()
        .batch_execute(
            "create or replace view public.active_sessions_summary as select platform, 1::bigint as active_count,
               1::numeric as avg_session_minutes, now() as oldest_session, now() as latest_activity from public.user_sessions;
             drop view public.active_sessions_summary;
             create view public.active_sessions_summary as select platform collate \"C\" as platform, 1::bigint as active_count,
               1::numeric as avg_session_minutes, now() as oldest_session, now() as latest_activity from public.user_sessions",
        )
        .unwrap();
    db.sessctl(&["migrate", "--yes"])
        .ok()
        .says("replaces view public.active_sessions_summary (platform text collate \"C\", ");
    db.sessctl(&["verify", "--strict"]).ok();
}

#[test]
fn a_schema_that_somebody_else_owns_or_that_its_owner_may_not_use() {
    are_refused(&[
        Case {
            by_superuser: true,
            sql: "create schema sessctl",
            says: &["schema sessctl belongs to supabase_admin"],
            ..CASE
        },
        Case {
            sql: "create schema sessctl; revoke create on schema sessctl from postgres",
            says: &["role \"postgres\" may not create tables in schema sessctl"],
            ..CASE
        },
        Case {
            by_superuser: true,
            sql: "drop function auth.uid() cascade; create function auth.uid() returns text language sql as 'select null::text'",
            says: &["it lacks function auth.uid() with result uuid"],
            repair: Some(
                "drop function auth.uid(); create function auth.uid() returns uuid language sql as 'select null::uuid'",
            ),
        },
    ]);
}

#[test]
fn a_database_of_another_encoding() {
    for encoding in ["LATIN1", "WIN1252", "EUC_JP"] {
        let db = Db::of_encoding(encoding);
        let what = format!("has the encoding {encoding}, and sessctl needs UTF8");
        db.sessctl(&["migrate"])
            .exits(3)
            .says(&what)
            .says("nothing was changed");
        assert!(facts(&db).is_empty());
    }
    // It takes the bytes of any.
    let db = Db::of_encoding("SQL_ASCII");
    db.client().batch_execute(ORIGINAL_SCRIPT).unwrap();
    fill(&db, 3);
    let no_character = "set client_encoding = sql_ascii; update public.user_sessions set user_agent = e'\\xff'";
    db.client().batch_execute(no_character).unwrap();
    for command in ["migrate", "verify", "end-inactive", "cleanup", "summary", "doctor"] {
        db.sessctl(&[command]).ok();
    }
}

/// A table of rows whose constraints are gone; the first migration fails at them, so that none is in.
#[test]
fn rows_that_violate_a_constraint() {
    let row = |user: &str, session: &str, platform: &str| {
        format!(
            "insert into public.user_sessions (user_id, session_id, platform) values ({user}, {session}, {platform});"
        )
    };
    const USER: &str = "'00000000-0000-4000-8000-000000000001'";
    let cases = [
        (
            "drop constraint user_sessions_session_id_key",
            row(USER, "'a'", "'web'").repeat(2),
            "could not create unique index \"user_sessions_session_id_key\"",
        ),
        (
            "drop constraint user_sessions_user_id_fkey",
            row("gen_random_uuid()", "'a'", "'web'"),
            "violates foreign key constraint \"user_sessions_user_id_fkey\"",
        ),
        (
            "alter user_id drop not null",
            row("null", "'a'", "'web'"),
            "contains null values",
        ),
        (
            "alter session_id drop not null",
            row(USER, "null", "'web'"),
            "contains null values",
        ),
        (
            "drop constraint user_sessions_platform_check",
            row(USER, "'a'", "'android'"),
            "user_sessions_platform_check",
        ),
        (
            "drop constraint user_sessions_pkey, alter id drop not null",
            row(USER, "'a'", "'web'") + "update public.user_sessions set id = null",
            "contains null values",
        ),
    ];
    for grants in BOTH_GENERATIONS {
        for (change, rows, says) in &cases {
            let db = Db::pasted(grants);
            db.client()
                .batch_execute(&format!(
                    "insert into auth.users (id) values ({USER}); alter table public.user_sessions {change}; {rows}"
                ))
                .unwrap();
            let before = facts(&db);
            db.sessctl(&["migrate", "--yes"])
                .exits(3)
                .says("migration V01__create_user_sessions.sql failed")
                .says(says)
                .says("nothing of this migration was kept");
            assert_eq!(facts(&db), before, "{change}");
            let schemas = "select count(*) from pg_namespace where nspname = 'sessctl'";
            assert_eq!(number(&mut db.client(), schemas), 0, "{change}");
            db.client().batch_execute("delete from public.user_sessions").unwrap();
            db.sessctl(&["migrate", "--yes"]).ok();
            db.sessctl(&["verify"]).ok();
        }
    }
}

#[test]
fn a_table_of_supabase_admin_is_replaced_by_the_statements_that_a_hosted_user_may_run() {
    for grants in BOTH_GENERATIONS {
        let db = Db::pasted(grants);
        fill(&db, 50);
        db.admin()
            .batch_execute(
                "alter table public.user_sessions add column app_version text default '1.0';
                 update public.user_sessions set app_version = session_id;
                 alter table public.user_sessions owner to supabase_admin;
                 alter view public.active_sessions_summary owner to supabase_admin;
                 alter function public.update_user_sessions_updated_at_column() owner to supabase_admin;
                 grant all on public.user_sessions to postgres",
            )
            .unwrap();
        let picture = "select md5(string_agg(s::text, '' order by session_id)) from public.user_sessions s";
        let before: String = db.client().query_one(picture, &[]).unwrap().get(0);
        let run = db
            .sessctl(&["migrate"])
            .exits(3)
            .says("table public.user_sessions belongs to supabase_admin")
            .says("alter table public.user_sessions owner to \"postgres\";")
            .says("On the hosted platform");
        let hint = run.stderr.split("as postgres: ").nth(1).unwrap();
        db.client().batch_execute(&hint[..=hint.rfind(';').unwrap()]).unwrap();
        // Nobody reads the copy before migrate.
        for role in ["anon", "authenticated"] {
            let seen = db.api(role, None).query("select from public.user_sessions", &[]);
            assert!(seen.is_err() || seen.unwrap().is_empty(), "{role}");
        }
        db.sessctl(&["migrate"]).ok();
        db.sessctl(&["verify"]).ok();
        assert_eq!(db.client().query_one(picture, &[]).unwrap().get::<_, String>(0), before);
    }
}
