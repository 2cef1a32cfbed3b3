//! `sessctl verify`: what it must see, what it must not call drift, and how it says so.

use std::process::Command;

use postgres::{Client, NoTls};
use serde_json::Value;
use sessctl::sandbox::{Grants, Options, Sandbox};

use crate::common::{BOTH_GENERATIONS, Db, Run, admin, block_on, server, sessctl};

/// The named changes of a file.
pub fn changes(file: &'static str) -> Vec<(&'static str, &'static str)> {
    file.split("-- name: ")
        .skip(1)
        .map(|part| part.split_once('\n').unwrap())
        .collect()
}

#[test]
fn every_mutation_is_seen() {
    let mutations = changes(include_str!("drift/mutations.sql"));
    assert!(mutations.len() >= 115, "{} are left", mutations.len());
    for (index, (name, sql)) in mutations.iter().enumerate() {
        let db = Db::migrated(BOTH_GENERATIONS[index % 2]);
        db.admin()
            .batch_execute(sql)
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let run = db.sessctl(&["verify", "--format", "json"]);
        assert_eq!(run.code, 1, "{name}: {}{}", run.stdout, run.stderr);
        let json = run.json();
        assert_eq!(json["ok"], false, "{name}");
        assert!(
            json["drift"].as_array().unwrap().len() + json["pending"].as_array().unwrap().len() > 0,
            "{name}"
        );
    }
}

#[test]
fn no_harmless_change_is_called_drift() {
    let harmless = changes(include_str!("drift/harmless.sql"));
    assert!(harmless.len() >= 10);
    for (name, sql) in harmless {
        for grants in BOTH_GENERATIONS {
            if name == "a role that only reads" && grants == Grants::Open {
                continue;
            }
            let db = Db::migrated(grants);
            db.admin()
                .batch_execute(sql)
                .unwrap_or_else(|error| panic!("{name}: {error:?}"));
            let run = db.sessctl(&["verify"]);
            assert_eq!(run.code, 0, "{name}: {}{}", run.stdout, run.stderr);
            if name == "a role that only reads" {
                db.admin()
                    .batch_execute("drop owned by reader_of_sessions; drop role reader_of_sessions")
                    .unwrap();
            }
        }
    }
}

#[test]
fn a_dumped_and_restored_database_is_in_step() {
    let dump = server().bindir().join("pg_dump");
    if !dump.exists() {
        crate::common::not_run(&format!("no pg_dump in {}", server().bindir().display()));
        return;
    }
    for grants in BOTH_GENERATIONS {
        let source = Db::migrated(grants);
        let file = tempfile::NamedTempFile::new().unwrap();
        let done = Command::new(&dump)
            .args(["-Fc", "-f"])
            .arg(file.path())
            .args(["-d", &server().admin(&source.name)])
            .status();
        assert!(done.unwrap().success());
        let target = Db::fresh(grants);
        // Each alone: together they would be one transaction, in which neither may run.
        for sql in ["drop database", "create database"] {
            let owner = if sql == "drop database" {
                ""
            } else {
                "template template0 owner postgres"
            };
            admin("postgres")
                .batch_execute(&format!("{sql} {} {owner}", target.name))
                .unwrap();
        }
        let done = Command::new(server().bindir().join("pg_restore"))
            .args(["-d", &server().admin(&target.name)])
            .arg(file.path())
            .status();
        assert!(done.unwrap().success());
        target.sessctl(&["verify", "--strict"]).ok();
        target.sessctl(&["migrate"]).ok().says("nothing to do");
    }
}

#[test]
fn the_json_tells_object_property_expected_found_and_note() {
    let db = Db::migrated(Grants::Closed);
    db.admin()
        .batch_execute("alter table public.user_sessions disable row level security, add column app_version text")
        .unwrap();
    let json = db.sessctl(&["verify", "--format", "json"]).exits(1).json();
    assert_eq!(
        json,
        serde_json::json!({
            "ok": false,
            "version": sessctl::migrations::all().len(),
            "unrecorded": false,
            "pending": [],
            "drift": [{
                "object": "table public.user_sessions",
                "property": "row level security",
                "expected": "on",
                "found": "off",
                "note": "every user of the API reads and writes every row",
            }],
            "extra": [{
                "object": "column public.user_sessions.app_version",
                "property": "present",
                "expected": null,
                "found": "text",
                "note": null,
            }],
            "allowed": [],
            "absent": [],
        })
    );
    db.sessctl(&["verify", "--format", "csv"])
        .exits(1)
        .says("class,object,property,expected,found,note")
        .says("drift,table public.user_sessions,row level security,on,off,every user of the API reads and writes every row");
    db.sessctl(&["verify", "--format", "github"])
        .exits(1)
        .says(
            "::error title=sessctl: schema drift::table public.user_sessions: row level security is off instead of on",
        )
        .says("::notice title=sessctl: extra object::column public.user_sessions.app_version is extra: text");
}

#[test]
fn of_a_changed_function_and_view_the_changed_lines_are_shown() {
    let db = Db::migrated(Grants::Closed);
    db.client()
        .batch_execute(
            "create or replace function public.cleanup_old_sessions(days_old integer default 90) returns integer language plpgsql set search_path = '' as $$
             begin
               -- \x1b[2J
               return sessctl.cleanup(least(days_old, 7));
             end
             $$;
             create or replace view sessctl.ended_session with (security_invoker = true) as
             select s.row_id, s.id, s.session_id, s.ended_at, s.row_version from sessctl.ended_last_seen as s
             where s.ended_at < now()",
        )
        .unwrap();
    let run = db.sessctl(&["verify"]).exits(1).says(
        "
drift    function public.cleanup_old_sessions(integer): body differs
         - return sessctl.cleanup(days_old);
         + -- \\x1b[2J
         + return sessctl.cleanup(least(days_old, 7));
drift    view sessctl.ended_session: definition differs
         - WHERE (NOT is_implausible);
         + WHERE (ended_at < now());
"
        .trim_start(),
    );
    assert_eq!(run.stdout.lines().count(), 8, "{}", run.stdout);
    let json = db.sessctl(&["verify", "--format", "json"]).exits(1).json();
    assert_eq!(
        json["drift"][0]["expected"],
        "begin\nreturn sessctl.cleanup(days_old);\nend"
    );
    db.sessctl(&["verify", "--format", "github"]).exits(1).says(
        "::error title=sessctl: schema drift::view sessctl.ended_session: definition differs | - WHERE (NOT is_implausible)",
    );
}

#[test]
fn a_database_that_was_never_migrated_is_all_pending() {
    let db = Db::fresh(Grants::Open);
    let json = db.sessctl(&["verify", "--format", "json"]).exits(1).json();
    assert_eq!(
        json["pending"].as_array().unwrap().len(),
        sessctl::migrations::all().len()
    );
    assert_eq!(json["drift"], Value::Array(Vec::new()));
}

#[test]
fn triggers_and_policies_of_the_teams_own_are_accepted_by_name() {
    let db = Db::migrated(Grants::Closed);
    db.admin()
        .batch_execute(
            "create trigger audit after insert on public.user_sessions for each row execute function public.update_user_sessions_updated_at_column();
             create policy support on public.user_sessions for select to service_role using (true)",
        )
        .unwrap();
    db.sessctl(&["verify", "--allow", "trigger:audit"])
        .exits(1)
        .says("policy support");
    let json = db
        .sessctl(&[
            "verify",
            "--allow",
            "trigger:audit",
            "--allow",
            "policy:support",
            "--format",
            "json",
        ])
        .ok()
        .json();
    assert_eq!(json["allowed"].as_array().unwrap().len(), 2);
    for (allow, says) in [
        ("schema:sessctl", "expected KIND:NAME"),
        ("audit", "expected KIND:NAME"),
        ("grant:anon:select", "rights of the API's roles are never accepted"),
    ] {
        db.sessctl(&["verify", "--allow", allow]).exits(2).says(says);
    }
    // What is ours can't be waved through by its name.
    db.admin()
        .batch_execute("alter policy \"Users can view their own sessions\" on public.user_sessions using (true)")
        .unwrap();
    db.sessctl(&[
        "verify",
        "--allow",
        "trigger:audit",
        "--allow",
        "policy:support",
        "--allow",
        "policy:Users can view their own sessions",
    ])
    .exits(1);
}

#[test]
fn a_role_that_may_only_read_the_history_can_verify_and_see_the_status() {
    let db = Db::migrated(Grants::Closed);
    let role = format!("ci_{}", db.name);
    db.admin()
        .batch_execute(&format!("create role {role} login password 'ci'"))
        .unwrap();
    let url = db.url_as(&role, "ci");
    let run = |command: &str| Run::of(sessctl().env("DATABASE_URL", &url).arg(command));
    run("verify").exits(3).says("grant usage on schema sessctl");
    db.admin()
        .batch_execute(&format!(
            "grant usage on schema sessctl to {role}; grant select on sessctl.schema_history to {role}"
        ))
        .unwrap();
    run("verify").ok().says("up to date");
    run("status").ok();
    run("migrate").ok().says("nothing to do");
    db.admin().batch_execute(&format!("drop owned by {role}")).unwrap();
    drop(db);
    admin("postgres").batch_execute(&format!("drop role {role}")).unwrap();
}

#[test]
fn status_works_with_and_without_a_history() {
    let db = Db::fresh(Grants::Closed);
    let json = db.sessctl(&["status", "--format", "json"]).ok().json();
    assert_eq!(json["version"], 0);
    assert_eq!(json["newer"], false);
    assert_eq!(
        json["migrations"][0],
        serde_json::json!({ "version": 1, "name": "create_user_sessions", "state": "pending", "applied_on": null })
    );
    db.sessctl(&["migrate", "--target", "2"]).ok();
    let json = db.sessctl(&["status", "--format", "json"]).ok().json();
    assert_eq!(json["version"], 2);
    assert_eq!(json["migrations"][1]["state"], "applied");
    assert!(json["migrations"][1]["applied_on"].as_str().unwrap().starts_with("20"));
    assert_eq!(json["migrations"][2]["state"], "pending");
    db.sessctl(&["status", "--format", "csv"])
        .ok()
        .says("version,name,state,applied_on");
}

#[test]
fn what_a_role_can_do_without_a_right_of_its_own_is_drift() {
    // Roles belong to the whole server: one of its own.
    let sandbox = block_on(Sandbox::start(&Options::default())).unwrap();
    let run = |arguments: &[&str]| Run::of(sessctl().env("DATABASE_URL", sandbox.url()).args(arguments));
    let mut admin = Client::connect(&sandbox.admin("postgres"), NoTls).unwrap();
    run(&["migrate"]).ok();
    for (change, back, says) in [
        (
            "grant pg_read_all_data to anon",
            "revoke pg_read_all_data from anon",
            "role anon: extra rights through: pg_read_all_data",
        ),
        (
            "alter role authenticated bypassrls",
            "alter role authenticated nobypassrls",
            "role authenticated: row level security is bypassed instead of applies",
        ),
    ] {
        run(&["verify"]).ok();
        admin.batch_execute(change).unwrap();
        run(&["verify"]).exits(1).says(says);
        admin.batch_execute(back).unwrap();
    }
}

#[test]
fn a_copy_of_the_schema_without_rows_is_told_as_one_and_adopted() {
    for copied in [
        "truncate sessctl.schema_history, sessctl.run, sessctl.job",
        "truncate sessctl.run, sessctl.job; drop table sessctl.schema_history",
    ] {
        let db = Db::migrated(Grants::Closed);
        db.admin().batch_execute(copied).unwrap();
        for arguments in [
            &["verify"][..],
            &["verify", "--format", "github"],
            &["status"],
            &["doctor"],
        ] {
            let run = db.sessctl(arguments);
            assert_eq!(run.code, i32::from(arguments != ["status"]), "{arguments:?}: {run:?}");
            let run = run.says("a preview branch").says("run sessctl migrate");
            assert!(!run.stdout.contains("pending"), "{arguments:?}: {}", run.stdout);
        }
        assert_eq!(db.sessctl(&["verify", "--format", "json"]).json()["unrecorded"], true);
        assert_eq!(db.sessctl(&["status", "--format", "json"]).json()["unrecorded"], true);
        db.sessctl(&["migrate"]).ok();
        db.sessctl(&["verify"]).ok();
        for command in ["status", "doctor", "end-inactive"] {
            db.sessctl(&[command]).ok();
        }
    }
}

#[test]
fn every_kind_of_addition_is_accepted_by_name_and_shown() {
    let db = Db::migrated(Grants::Closed);
    let role = format!("reader_{}", db.name);
    db.admin()
        .batch_execute(&format!(
            "alter table public.user_sessions add column app_version text, add constraint short_agent check (length(user_agent) < 500);
             create index my_index on public.user_sessions (app_version);
             create trigger audit after insert on public.user_sessions for each row execute function public.update_user_sessions_updated_at_column();
             create policy \"support: reads\" on public.user_sessions for select to service_role using (true);
             create rule notified as on delete to public.user_sessions do also notify gone;
             create publication realtime for table public.user_sessions;
             create table public.kid () inherits (public.user_sessions);
             create function public.end_inactive_sessions(text) returns integer language sql as 'select 1';
             revoke all on function public.end_inactive_sessions(text) from public;
             create view sessctl.mine as select 1 as one;
             create table sessctl.stash (id integer);
             alter table public.user_sessions force row level security, alter column platform set default 'web';
             create role {role};
             grant select, update (status) on public.user_sessions to {role}"
        ))
        .unwrap();
    let allow = [
        "column:app_version",
        "constraint:short_agent",
        "index:my_index",
        "trigger:audit",
        "policy:support: reads",
        "rule:notified",
        "publication:realtime",
        "child:kid",
        "function:end_inactive_sessions(text)",
        "view:sessctl.mine",
        "table:sessctl.stash",
        "table:user_sessions",
        "column:platform",
        &format!("grant:{role}:select"),
        &format!("grant:{role}:update"),
    ];
    let verify = |left_out: Option<usize>| {
        let mut arguments = vec!["verify", "--strict"];
        for (index, allowed) in allow.iter().enumerate() {
            if Some(index) != left_out {
                arguments.extend(["--allow", allowed]);
            }
        }
        arguments.extend(["--format", "json"]);
        db.sessctl(&arguments)
    };
    let json = verify(None).ok().json();
    assert_eq!(json["absent"], Value::Array(Vec::new()));
    assert!(json["allowed"].as_array().unwrap().len() >= allow.len());
    for (index, left_out) in allow.iter().enumerate() {
        // The publication is allowed with the table, what may be set of it.
        if *left_out != "publication:realtime" {
            let run = verify(Some(index));
            assert_eq!(run.code, 1, "{left_out}: {}", run.stdout);
        }
    }
    // With the grant option the role could give it to anybody.
    db.admin()
        .batch_execute(&format!(
            "grant select on public.user_sessions to {role} with grant option"
        ))
        .unwrap();
    verify(None).exits(1);
    db.admin()
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .unwrap();
}

#[test]
fn the_hint_names_the_repair_only_for_what_it_puts_back() {
    let db = Db::migrated(Grants::Closed);
    let role = format!("ci_{}", db.name);
    let sql = format!(
        "create role {role}; grant usage on schema sessctl to {role}; alter table public.user_sessions force row level security"
    );
    db.admin().batch_execute(&sql).unwrap();
    let run = db
        .sessctl(&["verify", "--strict"])
        .exits(1)
        .says("drop what is extra, or --allow it");
    assert!(!run.stdout.contains("--repair"), "{}", run.stdout);
    db.sessctl(&["migrate", "--repair"]).ok().says("nothing to repair");
    db.client()
        .batch_execute("alter table public.user_sessions no force row level security; grant delete on public.user_sessions to authenticated")
        .unwrap();
    db.sessctl(&["verify"]).exits(1).says("sessctl migrate --repair");
    db.admin()
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .unwrap();
}

#[test]
fn what_is_allowed_and_not_there_is_a_note() {
    let db = Db::migrated(Grants::Closed);
    let arguments = [
        "verify",
        "--strict",
        "--allow",
        "trigger:gone",
        "--allow",
        "grant:nobody:select",
    ];
    db.sessctl(&arguments)
        .ok()
        .says("absent   trigger:gone is allowed, and not there");
    let json = db
        .sessctl(&[&arguments[..], &["--format", "json"]].concat())
        .ok()
        .json();
    assert_eq!(
        json["absent"],
        serde_json::json!(["trigger:gone", "grant:nobody:select"])
    );
}

#[test]
fn no_name_accepts_what_drifted_of_an_object_of_ours_or_what_the_apis_roles_may_do() {
    for (sql, allow) in [
        (
            "alter policy \"Users can view their own sessions\" on public.user_sessions using (true)",
            "policy:Users can view their own sessions",
        ),
        (
            "alter policy \"Users can create their own sessions\" on public.user_sessions to anon",
            "policy:Users can create their own sessions",
        ),
        (
            "alter table public.user_sessions disable row level security",
            "table:public.user_sessions",
        ),
        (
            "alter table public.user_sessions alter column status set default 'idle'",
            "column:status",
        ),
        (
            "alter table public.user_sessions alter column ended_at set default now()",
            "column:ended_at",
        ),
        (
            "alter function public.end_inactive_sessions(integer) security definer",
            "function:end_inactive_sessions",
        ),
        (
            "drop index public.idx_user_sessions_ended_at",
            "index:idx_user_sessions_ended_at",
        ),
        (
            "grant select on public.user_sessions to anon",
            "table:public.user_sessions",
        ),
        (
            "alter table public.user_sessions add column x text; grant select (x) on public.user_sessions to anon",
            "column:x",
        ),
        (
            "alter table public.user_sessions disable trigger update_user_sessions_updated_at",
            "trigger:update_user_sessions_updated_at",
        ),
    ] {
        let db = Db::migrated(Grants::Closed);
        db.admin().batch_execute(sql).unwrap();
        let run = db.sessctl(&["verify", "--allow", allow]);
        assert_eq!(run.code, 1, "{sql}: {}", run.stdout);
    }
}

#[test]
fn what_reads_all_sessions_for_users_of_the_api_is_seen() {
    let db = Db::migrated(Grants::Closed);
    db.admin()
        .batch_execute(
            "create view public.leak as select * from public.user_sessions;
             create view public.safe with (security_invoker = on) as select * from public.user_sessions;
             create view public.closed as select * from public.user_sessions;
             create materialized view public.copied as select user_id from public.user_sessions;
             create function public.counted() returns bigint language sql security definer as 'select count(*) from public.user_sessions';
             create function public.of_caller() returns bigint language sql as 'select count(*) from public.user_sessions';
             create function public.of_others() returns bigint language sql security definer as 'select 1::bigint -- my_user_sessions_2';
             grant select on public.leak, public.safe to authenticated;
             grant select (user_id) on public.copied to anon;
             grant execute on function public.counted(), public.of_caller(), public.of_others() to anon, authenticated",
        )
        .unwrap();
    let json = db.sessctl(&["verify", "--format", "json"]).ok().json();
    let seen: Vec<(&str, &str)> = json["extra"]
        .as_array()
        .unwrap()
        .iter()
        .map(|extra| (extra["object"].as_str().unwrap(), extra["found"].as_str().unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            ("function public.counted()", "anon, authenticated"),
            ("materialized view public.copied", "anon"),
            ("view public.leak", "authenticated"),
        ]
    );
    let allow = [
        "--allow",
        "view:leak",
        "--allow",
        "function:counted",
        "--allow",
        "materialized view:copied",
    ];
    db.sessctl(&["verify", "--strict"]).exits(1);
    db.sessctl(&[&["verify", "--strict"][..], &allow].concat()).ok();
}
