//! The indexes that a team leaves out: not built, dropped, built again, and known to every machine.

use std::collections::BTreeMap;
use std::thread;

use postgres::{Client, Transaction};
use sessctl::sandbox::Grants;

use crate::common::running::{Running, wait_until};
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
    let machine = Machine::with(&without(&ALL));
    machine.run(&db, &["migrate"]).ok();
    db.client().batch_execute("drop table sessctl.schema_history").unwrap();
    db.sessctl(&["migrate"]).ok();
    assert!(there(&db).is_empty());
    assert_eq!(history(&db), 14);
    db.sessctl(&["verify", "--strict"]).ok();
    // A table of its own that is there again.
    db.client()
        .batch_execute("drop view public.active_sessions_summary; drop table public.user_sessions cascade; drop table sessctl.schema_history")
        .unwrap();
    let run = db.sessctl(&["migrate"]).ok();
    let recorded = run.stderr.matches(": its index is left out").count();
    assert_eq!(recorded, 4, "{}", run.stderr);
    assert!(there(&db).is_empty());
    db.sessctl(&["verify", "--strict"]).ok();
    // A copy of the schema without rows is known by the file.
    db.client()
        .batch_execute("delete from sessctl.schema_history; delete from sessctl.declared")
        .unwrap();
    let run = machine.run(&db, &["migrate", "--format", "json"]).ok().json();
    assert_eq!(run["recorded"].as_array().map(Vec::len), Some(14), "{run}");
    assert!(there(&db).is_empty());
    db.sessctl(&["verify", "--strict"]).ok();
    // What a repair puts back is what is declared.
    db.client()
        .batch_execute("drop index public.idx_user_sessions_idle")
        .unwrap();
    db.sessctl(&["migrate", "--repair"]).ok();
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

/// What maintenance asks of the table, and the index that answers it; none where rows are found by their place.
const STATEMENTS: [(&str, Option<&str>); 15] = [
    ("sessctl.end_inactive_due(:cutoff, 10000)", Some("active")),
    ("sessctl.end_inactive_due(:cutoff, 10000, true)", Some("active idle")),
    (
        "sessctl.end_inactive_due(:cutoff, 10000, false, '(5,1)')",
        Some("active"),
    ),
    (
        "sessctl.end_inactive_due(:cutoff, 10000, true, '(5,1)')",
        Some("active idle"),
    ),
    ("sessctl.end_inactive_leftovers(:cutoff, false)", Some("active")),
    ("sessctl.end_inactive_leftovers(:cutoff, true)", Some("active idle")),
    ("sessctl.settle_due(10000)", Some("unsettled ended_at")),
    ("sessctl.settle_due(10000, '(5,1)')", Some("unsettled ended_at")),
    ("sessctl.settle_leftovers()", Some("unsettled ended_at")),
    ("sessctl.cleanup_is_due(:cutoff)", Some("ended_at")),
    ("sessctl.cleanup_slice(:cutoff, 1000, null)", Some("ended_at")),
    ("sessctl.cleanup_slice(:cutoff, 1000, '(3,1)')", None),
    ("sessctl.cleanup_candidates(:cutoff, 1000, null)", Some("ended_at")),
    ("sessctl.cleanup_prefers_blocks(:cutoff)", Some("ended_at")),
    ("sessctl.cleanup_leftovers(:cutoff)", Some("ended_at")),
];

/// Runs that change something, in one transaction each.
const RUNS: [&str; 4] = [
    "sessctl.end_inactive(60)",
    "sessctl.end_inactive(60, 100000, true)",
    "sessctl.cleanup(8, 1000)",
    "sessctl.cleanup(8)",
];

#[test]
fn no_statement_of_maintenance_reads_a_table_with_the_least_indexes_from_end_to_end() {
    let db = Db::migrated(Grants::Closed);
    Machine::with(&without(&ALL)).run(&db, &["migrate"]).ok();
    insert(&db, &["web"]);
    // Shuffled and not: cleanup goes by the order they ended, or by blocks.
    for order in ["n", "md5(n::text)"] {
        let sql = format!(
            "truncate public.user_sessions;
             insert into public.user_sessions
               (user_id, session_id, platform, status, started_at, last_heartbeat_at, last_activity_at, updated_at, ended_at)
             select u.id, n::text, 'web', case when n % 1000 = 0 then 'active' when n % 1000 = 1 then 'idle' else 'ended' end,
               now() - interval '20 days', now() - interval '2 hours', now() - interval '2 hours', now() - interval '9 days',
               case when n % 1000 > 8 then now() - interval '19 days' + n * interval '20 seconds' when n % 1000 > 4 then '2099-01-01' end
             from generate_series(1, 30000) as n cross join auth.users as u order by {order}"
        );
        db.client().batch_execute(&sql).unwrap();
        for analyze in ["vacuum public.user_sessions", "analyze public.user_sessions"] {
            let mut client = db.client();
            client.batch_execute(analyze).unwrap();
            for (call, expected) in STATEMENTS {
                let call = call.replace(":cutoff", "now() - interval '1 hour'");
                let (whole, used) = scans(&mut client, &call);
                assert_eq!(whole, 0, "{call} after {analyze}, by {order}");
                // Where the heap is in order it looks no further.
                if call.contains("prefers_blocks") && order == "n" {
                    continue;
                }
                match expected {
                    Some(names) => assert!(
                        !used.is_empty() && used.iter().all(|name| names.split(' ').any(|one| one == name)),
                        "{call} after {analyze}, by {order}: {used:?}"
                    ),
                    None => assert!(used.is_empty(), "{call}: {used:?}"),
                }
            }
            for call in RUNS {
                assert_eq!(scans(&mut client, call).0, 0, "{call} after {analyze}, by {order}");
            }
        }
    }
}

/// How often a call reads the whole table, and which of its indexes it uses; what it changes is rolled back.
fn scans(client: &mut Client, call: &str) -> (i64, Vec<String>) {
    let mut transaction = client.transaction().unwrap();
    let count = |transaction: &mut Transaction<'_>| -> BTreeMap<String, i64> {
        let sql = "select replace(r.oid::regclass::text, 'idx_user_sessions_', ''), pg_stat_get_xact_numscans(r.oid)
            from (select 'public.user_sessions'::regclass
              union all select i.indexrelid from pg_index as i where i.indrelid = 'public.user_sessions'::regclass) as r (oid)";
        let rows = transaction.query(sql, &[]).unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    let before = count(&mut transaction);
    transaction.execute(&format!("select {call}"), &[]).unwrap();
    let mut used = count(&mut transaction);
    used.retain(|name, scans| {
        *scans -= before[name];
        *scans > 0
    });
    let whole = used.remove("user_sessions").unwrap_or_default();
    (whole, used.into_keys().collect())
}

#[test]
fn doctor_judges_the_uses_of_a_large_table_that_is_no_longer_new() {
    let db = Db::migrated(Grants::Closed);
    insert(&db, &["web"]);
    let line = || {
        let json = db.sessctl(&["doctor", "--format", "json"]).ok().json();
        let checks = json["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["check"] == "indexes");
        check.map(|check| (check["level"].clone(), check["message"].to_string()))
    };
    assert_eq!(line(), None);
    let mut client = db.client();
    client
        .batch_execute(
            "insert into public.user_sessions (user_id, session_id, platform)
             select u.id, n::text, 'web' from generate_series(1, 12000) as n cross join auth.users as u;
             analyze public.user_sessions;
             update public.user_sessions set last_activity_at = now() - interval '1 minute'",
        )
        .unwrap();
    // The statistics count for less than a week, and so long as a server of the tests runs.
    wait_until("the statistics", || {
        line().is_some_and(|(_, message)| message.contains("1.24 times"))
    });
    let (level, message) = line().unwrap();
    assert!(level == "ok" && message.contains("judged after 7 days"), "{message}");
    assert!(!message.contains("never"), "{message}");

    let names = ALL.map(ToOwned::to_owned).to_vec();
    let mut facts = || -> serde_json::Value {
        let text: String = client
            .query_one(include_str!("../src/doctor/indexes.sql"), &[&names])
            .unwrap()
            .get(0);
        serde_json::from_str(&text).unwrap()
    };
    let found = facts();
    let is_used = |found: &serde_json::Value, index: usize| found["indexes"][index]["is_used"].clone();
    assert_eq!(
        (found["has_record"].clone(), found["rows"].as_i64()),
        (true.into(), Some(12_001))
    );
    assert!(
        found["counted_for"]
            .as_i64()
            .is_some_and(|seconds| seconds < 7 * 24 * 60 * 60)
    );
    assert!((0..4).all(|index| is_used(&found, index) == false), "{found}");
    db.client()
        .batch_execute(
            "set enable_seqscan = off;
             select count(session_id) from public.user_sessions where started_at > now() - interval '1 hour'",
        )
        .unwrap();
    wait_until("the statistics", || is_used(&facts(), 2) == true);

    // An index that was built again is new.
    let mut client = db.client();
    client
        .batch_execute("update sessctl.schema_history set applied_on = '2020-01-01T00:00:00.000000000Z'")
        .unwrap();
    let mut age = || {
        number(
            &mut client,
            include_str!("../src/doctor/indexes_age.sql")
                .replace("::text\n", "\n")
                .as_str(),
        )
    };
    assert!(age() > 365 * 24 * 60 * 60);
    let machine = Machine::with(&without(&ALL[..1]));
    machine.run(&db, &["migrate"]).ok();
    machine.says(&without(&[]));
    machine.run(&db, &["migrate"]).ok();
    assert!(age() < 365 * 24 * 60 * 60);
    machine.says(&without(&ALL));
    machine.run(&db, &["migrate"]).ok();
    assert_eq!(line(), None);
}
