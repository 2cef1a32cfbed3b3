//! The indexes that a team leaves out: not built, dropped, built again, and known to every machine.

use std::thread;

use sessctl::sandbox::Grants;

use crate::common::running::Running;
use crate::common::{BOTH_GENERATIONS, Db, Run, number, sessctl_on};
use crate::lists::{Machine, insert};
use crate::snapshot::facts;

const ALL: [&str; 4] = [
    "idx_user_sessions_platform",
    "idx_user_sessions_status",
    "idx_user_sessions_started_at",
    "idx_user_sessions_last_activity",
];

fn without(names: &[&str]) -> String {
    format!("[table]\nwithout-indexes = {names:?}\n")
}

/// Those of the four that are there.
fn there(db: &Db) -> Vec<String> {
    let sql = "select c.relname::text from pg_class as c join pg_index as i on i.indexrelid = c.oid
        where c.relname = any ($1) and i.indisvalid order by array_position($1, c.relname::text)";
    let rows = db.client().query(sql, &[&ALL.map(ToOwned::to_owned).to_vec()]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn history(db: &Db) -> i64 {
    number(&mut db.client(), "select count(*) from sessctl.schema_history")
}

#[test]
fn a_table_lacks_the_indexes_that_are_left_out_however_it_came() {
    for grants in BOTH_GENERATIONS {
        for start in ["fresh", "pasted", "pasted with rows", "migrated"] {
            let db = match start {
                "fresh" => Db::fresh(grants),
                "migrated" => Db::migrated(grants),
                _ => Db::pasted(grants),
            };
            if start == "pasted with rows" {
                insert(&db, &["web", "web"]);
            }
            let is_there = start != "fresh";
            let machine = Machine::with(&without(&ALL));
            let dry = machine.run(&db, &["migrate", "--dry-run"]).ok().stdout;
            let run = machine.run(&db, &["migrate"]).ok();
            for name in ALL {
                let line = format!("drops index {name} (without-indexes)");
                assert_eq!(dry.contains(&line), is_there, "{start}: {dry}");
                // What goes is said before anything is done.
                let (said, done) = (run.stderr.find(&line), run.stderr.find("dropped index"));
                assert_eq!(said.is_some(), is_there, "{start}: {}", run.stderr);
                assert!(said <= done, "{}", run.stderr);
                assert_eq!(run.stderr.contains(&format!("dropped index {name}")), is_there);
            }
            assert!(there(&db).is_empty(), "{start}");
            assert_eq!(history(&db), 14);
            machine.run(&db, &["migrate"]).ok().says("nothing to do");
            db.sessctl(&["migrate"]).ok().says("nothing to do");
            let strict = ["verify", "--strict"];
            machine.run(&db, &strict).ok();
            db.sessctl(&strict).ok();

            // Another file is a note here, a warning of doctor, and changes nothing by itself.
            let facts_before = facts(&db);
            machine.says(&without(&ALL[1..]));
            machine
                .run(&db, &["verify"])
                .ok()
                .says("table public.user_sessions: without-indexes is ")
                .says("run sessctl migrate");
            machine.run(&db, &strict).exits(1);
            machine
                .run(&db, &["doctor"])
                .ok()
                .says("sessctl.toml declares other lists than are in force");
            assert!(facts(&db) == facts_before);

            machine
                .run(&db, &["migrate"])
                .ok()
                .says("builds index idx_user_sessions_platform")
                .says("built index idx_user_sessions_platform")
                .says("the declared without-indexes are applied");
            assert_eq!(there(&db), ALL[..1]);
            db.sessctl(&strict).ok();
            machine.says(&without(&[]));
            machine.run(&db, &["migrate"]).ok();
            assert_eq!(there(&db), ALL);
            db.sessctl(&strict).ok();
            machine.run(&db, &["migrate"]).ok().says("nothing to do");
        }
    }
}

#[test]
fn only_indexes_that_maintenance_does_without_may_be_left_out() {
    let db = Db::migrated(Grants::Closed);
    for name in [
        "idx_user_sessions_active",
        "idx_user_sessions_Status",
        "user_sessions_pkey",
    ] {
        let run = Machine::with(&format!(
            "[table]\nwithout-indexes = [\"idx_user_sessions_status\", \"{name}\"]\n"
        ))
        .run(&db, &["migrate"])
        .exits(2)
        .says("sessctl.toml:2:48: table.without-indexes");
        assert!(ALL.iter().all(|name| run.stderr.contains(name)), "{}", run.stderr);
    }
    assert_eq!(there(&db), ALL);
}

#[test]
fn what_is_changed_manually_is_drift_and_is_put_right() {
    let db = Db::migrated(Grants::Closed);
    let machine = Machine::with(&without(&ALL[..2]));
    machine.run(&db, &["migrate"]).ok();
    db.client()
        .batch_execute(
            "create index idx_user_sessions_status on public.user_sessions (status);
             drop index public.idx_user_sessions_started_at",
        )
        .unwrap();
    db.sessctl(&["verify"])
        .exits(1)
        .says("index idx_user_sessions_status is extra")
        .says("declared in without-indexes; it costs every write")
        .says("index idx_user_sessions_started_at is missing");
    machine.run(&db, &["migrate"]).ok();
    assert_eq!(there(&db), ALL[2..]);
    db.sessctl(&["verify", "--strict"]).ok();
}

#[test]
fn a_crash_after_any_step_is_made_good_by_the_next_migrate() {
    let invalid =
        "update pg_index set indisvalid = false where indexrelid = 'public.idx_user_sessions_status'::regclass";
    for (names, left) in [
        (&ALL[..2], invalid),
        (&ALL[..2], "drop index public.idx_user_sessions_platform"),
        (
            &ALL[..2],
            "insert into sessctl.declared values ('without-indexes', '{idx_user_sessions_platform,idx_user_sessions_status}')",
        ),
        (&[], invalid),
        (
            &[],
            "insert into sessctl.declared values ('without-indexes', '{}'); drop index public.idx_user_sessions_status",
        ),
        (
            &[],
            "insert into sessctl.declared values ('without-indexes', '{idx_user_sessions_status}')",
        ),
        // Recorded and not stored, as by a version of the program that knows nothing of it.
        (
            &ALL[..1],
            "delete from sessctl.schema_history where version > 8; drop index public.idx_user_sessions_last_activity",
        ),
    ] {
        let db = Db::migrated(Grants::Closed);
        db.admin().batch_execute(left).unwrap();
        Machine::with(&without(names)).run(&db, &["migrate"]).ok();
        let run = db.sessctl(&["verify", "--strict"]);
        assert_eq!(run.code, 0, "{left}: {}", run.stdout);
        assert_eq!(there(&db), ALL[names.len()..], "{left}");
    }
}

#[test]
fn a_table_without_a_history_is_adopted_as_it_was_declared() {
    let db = Db::migrated(Grants::Closed);
    Machine::with(&without(&ALL)).run(&db, &["migrate"]).ok();
    db.client().batch_execute("drop table sessctl.schema_history").unwrap();
    let run = db.sessctl(&["migrate"]).ok();
    assert_eq!(
        run.stderr.matches(": its index is left out").count(),
        4,
        "{}",
        run.stderr
    );
    assert!(there(&db).is_empty());
    assert_eq!(history(&db), 14);
    db.sessctl(&["verify", "--strict"]).ok();
    // A table of its own that is there again.
    db.client()
        .batch_execute("drop view public.active_sessions_summary; drop table public.user_sessions cascade; drop table sessctl.schema_history")
        .unwrap();
    db.sessctl(&["migrate"]).ok();
    assert!(there(&db).is_empty());
    db.sessctl(&["verify", "--strict"]).ok();
}

#[test]
fn many_machines_at_once_with_and_without_the_file_leave_what_it_declares() {
    for start in [Db::fresh, Db::pasted] {
        let db = start(Grants::Closed);
        let machine = Machine::with(&without(&ALL));
        thread::scope(|scope| {
            for number in 0..6 {
                let (db, machine) = (&db, &machine);
                scope.spawn(move || {
                    if number % 2 == 0 {
                        machine.run(db, &["migrate"]).ok();
                    } else {
                        db.sessctl(&["migrate"]).ok();
                    }
                });
            }
        });
        assert!(there(&db).is_empty(), "{:?}", there(&db));
        assert_eq!(history(&db), 14);
        machine.run(&db, &["verify", "--strict"]).ok();
    }
}

#[test]
fn the_drop_says_which_transaction_it_waits_for_and_lets_clients_write() {
    let db = Db::migrated(Grants::Closed);
    insert(&db, &["web"]);
    let mut holder = db.client();
    let mut reader = holder.transaction().unwrap();
    reader
        .batch_execute("lock table public.user_sessions in access share mode")
        .unwrap();
    let pid: i32 = reader.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    let machine = Machine::with(&without(&ALL[3..]));
    let mut migrate = Running::start(machine.command(db.url(), &["migrate", "--lock-timeout", "1ms"]));
    migrate.wait_to_say(&format!("the drop waits for process {pid}"));
    db.client()
        .batch_execute("set lock_timeout = '5s'; update public.user_sessions set last_activity_at = now()")
        .unwrap();
    reader.commit().unwrap();
    migrate.end().ok();
    assert_eq!(there(&db), ALL[..3]);
}

#[test]
fn sql_of_a_dry_run_leaves_the_indexes_out() {
    let machine = Machine::with(&without(&ALL));
    let fresh = Db::fresh(Grants::Closed);
    let migrated = Db::migrated(Grants::Closed);
    for db in [&fresh, &migrated] {
        let before = facts(db);
        let run = machine.run(db, &["migrate", "--dry-run"]).ok();
        assert!(facts(db) == before);
        let mut client = db.client();
        if before.len() < 10 {
            client.batch_execute("create schema sessctl").unwrap();
        }
        client.batch_execute(&run.stdout.replace(" concurrently", "")).unwrap();
        assert!(there(db).is_empty());
    }
    machine.run(&migrated, &["verify", "--strict"]).ok();
    machine.says(&without(&ALL[1..]));
    let run = machine.run(&migrated, &["migrate", "--dry-run"]).ok();
    migrated
        .client()
        .batch_execute(&run.stdout.replace(" concurrently", ""))
        .unwrap();
    assert_eq!(there(&migrated), ALL[..1]);
    machine.run(&migrated, &["verify", "--strict"]).ok();
}

#[test]
fn a_role_that_can_not_read_the_declaration_verifies_by_the_file() {
    let db = Db::migrated(Grants::Closed);
    let machine = Machine::with(&without(&ALL));
    machine.run(&db, &["migrate"]).ok();
    let role = format!("ci_{}", db.name);
    db.admin()
        .batch_execute(&format!(
            "create role {role} login password 'ci'; grant usage on schema sessctl to {role};
             grant select on sessctl.schema_history to {role}"
        ))
        .unwrap();
    let url = db.url_as(&role, "ci");
    Run::of(&mut sessctl_on(&url, &["verify"])).exits(1);
    Run::of(&mut machine.command(url, &["verify"])).ok();
    db.admin()
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .unwrap();
}
