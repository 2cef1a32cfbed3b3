//! Hints that are true: what they say to do can be done, and helps.

use std::process::Command;

use postgres::{Client, NoTls};
use sessctl::sandbox::{Grants, Options, Sandbox};

use crate::common::running::wait_until;
use crate::common::{Db, ORIGINAL_SCRIPT, Run, block_on, number, sessctl_on};
use crate::doctor::checks;

const COMMANDS: [&str; 3] = ["end-inactive", "cleanup", "summary"];

#[test]
fn of_a_table_that_was_moved_it_is_told_where_it_is() {
    let db = Db::migrated(Grants::Closed);
    db.admin()
        .batch_execute("create schema \"Archive\"; alter table public.user_sessions set schema \"Archive\"")
        .unwrap();
    let back = "alter table \"Archive\".user_sessions set schema public";
    for command in ["end-inactive", "cleanup"] {
        db.sessctl(&[command]).exits(3).says(back);
    }
    db.sessctl(&["doctor"]).exits(1).says(back);
    db.admin().batch_execute(back).unwrap();
    for command in COMMANDS {
        db.sessctl(&[command]).ok();
    }
}

#[test]
fn of_a_table_that_was_dropped_it_is_told_how_to_come_by_one() {
    let db = Db::migrated(Grants::Closed);
    db.client()
        .batch_execute("drop table public.user_sessions cascade")
        .unwrap();
    for command in COMMANDS {
        db.sessctl(&[command]).exits(3).says("restore it from a backup");
    }
    db.sessctl(&["doctor"]).exits(1).says("sessctl migrate --repair");
    db.sessctl(&["migrate", "--repair"]).ok();
    for command in COMMANDS {
        db.sessctl(&[command]).ok();
    }
}

#[test]
fn of_a_trigger_function_that_does_not_find_its_table_the_function_is_named() {
    let db = Db::migrated(Grants::Closed);
    crate::migrate::fill(&db, 3);
    db.client()
        .batch_execute(
            "update public.user_sessions set last_heartbeat_at = now() - interval '2 hours';
             create table public.audit_log (id uuid);
             create function public.audit() returns trigger language plpgsql as
               'begin insert into audit_log values (new.id); return new; end';
             create trigger audit after update on public.user_sessions for each row execute function public.audit()",
        )
        .unwrap();
    let fix = "alter function public.audit() set search_path = public, extensions";
    db.sessctl(&["end-inactive"]).exits(3).says(fix);
    db.sessctl(&["doctor"]).exits(1).says(fix);
    db.client().batch_execute(fix).unwrap();
    db.sessctl(&["end-inactive"]).ok().says("ended 3");
}

#[test]
fn migrate_on_a_server_that_takes_no_writes_says_why_and_what_to_do() {
    let made = "drop policy \"Users can view their own sessions\" on public.user_sessions";
    for (db, sql, arguments) in [
        (Db::fresh(Grants::Closed), "", &["migrate"][..]),
        (Db::pasted(Grants::Open), "", &["migrate"]),
        (
            Db::migrated(Grants::Closed),
            "",
            &[
                "migrate",
                "--platforms",
                "web,ios-external,ios-internal,ios-widget,macos-internal,tv",
            ],
        ),
        (Db::migrated(Grants::Closed), made, &["migrate", "--repair"]),
        (
            Db::migrated(Grants::Closed),
            "drop table sessctl.schema_history",
            &["migrate"],
        ),
        (
            Db::migrated(Grants::Closed),
            "delete from sessctl.schema_history where version > 13",
            &["migrate"],
        ),
    ] {
        db.client().batch_execute(sql).unwrap();
        db.admin()
            .batch_execute(&format!(
                "alter database {} set default_transaction_read_only = on",
                db.name
            ))
            .unwrap();
        db.sessctl(arguments)
            .exits(3)
            .says("read-only transaction")
            .says("hint: the server takes no writes. If it is a replica, use the primary's connection string.");
    }
    // Where nothing is to be written it does not matter.
    let db = Db::migrated(Grants::Closed);
    db.admin()
        .batch_execute(&format!(
            "alter database {} set default_transaction_read_only = on",
            db.name
        ))
        .unwrap();
    db.sessctl(&["migrate"]).ok().says("nothing to do");
}

#[test]
fn a_project_that_its_full_disk_made_read_only_can_be_cleaned_up_over_a_direct_connection() {
    let db = Db::migrated(Grants::Closed);
    crate::migrate::fill(&db, 3);
    let sql = format!(
        "update public.user_sessions set status = 'ended', started_at = '2020-01-01', ended_at = now() - interval '100 days';
         alter database {} set default_transaction_read_only = on",
        db.name
    );
    db.admin().batch_execute(&sql).unwrap();
    let option = "options=-c%20default_transaction_read_only%3Doff";
    db.sessctl(&["cleanup"]).exits(3).says(option);
    db.sessctl(&["doctor"]).exits(1).says(option);
    let url = format!("{}&{option}", db.url());
    Run::of(&mut sessctl_on(&url, &["cleanup"])).ok().says("deleted 3");
}

#[test]
fn nobody_is_sent_to_service_role_as_which_nobody_can_connect() {
    let db = Db::migrated(Grants::Closed);
    let role = format!("stranger_{}", db.name);
    db.admin()
        .batch_execute(&format!("create role {role} login bypassrls password 'strange'"))
        .unwrap();
    let url = db.url_as(&role, "strange");
    let runs: Vec<Run> = [
        "end-inactive",
        "cleanup",
        "summary",
        "status",
        "doctor",
        "migrate",
        "verify",
    ]
    .map(|command| {
        let mut command: Command = sessctl_on(&url, &[command]);
        Run::of(&mut command)
    })
    .into();
    db.admin()
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .unwrap();
    for run in runs {
        assert!(!run.stderr.contains("as service_role"), "{}", run.stderr);
        assert!(!run.stdout.contains("as service_role"), "{}", run.stdout);
    }
}

#[test]
fn a_table_of_the_platforms_superuser_is_told_as_one() {
    let db = Db::migrated(Grants::Closed);
    let owner = "select pg_get_userbyid(relowner)::text from pg_class where oid = 'public.user_sessions'::regclass";
    db.admin()
        .batch_execute("alter table public.user_sessions owner to supabase_admin")
        .unwrap();
    assert_eq!(
        db.client().query_one(owner, &[]).unwrap().get::<_, String>(0),
        "supabase_admin"
    );
    let (level, message, hint) = checks(&db.sessctl(&["doctor", "--format", "json"]))["role"].clone();
    assert_eq!(level, "warning");
    assert!(message.contains("the table belongs to supabase_admin"), "{message}");
    assert!(hint.starts_with("ask Supabase's support"), "{hint}");
    db.admin()
        .batch_execute("alter table public.user_sessions owner to postgres")
        .unwrap();
    assert_eq!(checks(&db.sessctl(&["doctor", "--format", "json"]))["role"].0, "ok");
    assert_eq!(number(&mut db.client(), "select count(*) from public.user_sessions"), 0);
}

#[test]
fn autovacuum_that_prevents_wraparound_does_not_yield_and_is_told_as_such() {
    let options = Options {
        settings: ["autovacuum_freeze_max_age=100000", "autovacuum_naptime=1s"]
            .map(Into::into)
            .into(),
        ..Options::default()
    };
    let sandbox = block_on(Sandbox::start(&options)).unwrap();
    let mut client = Client::connect(&sandbox.url(), NoTls).unwrap();
    client.batch_execute(ORIGINAL_SCRIPT).unwrap();
    // It takes minutes there, and a statement that waits would not end it.
    client
        .batch_execute(
            "alter table public.user_sessions set (
               autovacuum_enabled = false, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
             insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform)
             select '00000000-0000-4000-8000-000000000001', n::text, 'web' from generate_series(1, 30000) n;
             create table public.burned (number integer) with (autovacuum_enabled = false)",
        )
        .unwrap();
    // Each insert takes a transaction id of its own.
    client
        .batch_execute(
            "do $$ begin
               for number in 1..110000 loop
                 begin insert into public.burned values (number); exception when others then null; end;
               end loop;
             end $$",
        )
        .unwrap();
    wait_until("autovacuum prevents wraparound", || {
        let sql = "select count(*) from pg_stat_activity
            where query like 'autovacuum: VACUUM % public.user_sessions (to prevent wraparound)'
              or query like 'autovacuum: VACUUM public.user_sessions (to prevent wraparound)'";
        number(&mut client, sql) > 0
    });
    Run::of(&mut sessctl_on(sandbox.url(), &["migrate", "--lock-timeout", "20ms"]))
        .exits(3)
        .says("autovacuum is running on the table to prevent wraparound")
        .says("does not yield");
}
