//! `sessctl status`: schema, jobs, what is due and sizes, whatever a role may see.

use postgres::{Client, NoTls};
use serde_json::{Value, json};
use sessctl::sandbox::Grants;

use crate::common::{Db, Run, number, sessctl, sessctl_on};
use crate::doctor::LARGE;
use crate::schedule::with_pg_cron;

fn json_of(db: &Db) -> Value {
    db.sessctl(&["status", "--format", "json"]).ok().json()
}

/// How many sessions are due for each job that is listed.
fn due(status: &Value) -> Vec<(&str, &Value)> {
    let list = status["due"].as_array().unwrap();
    list.iter()
        .map(|due| (due["job"].as_str().unwrap(), &due["sessions"]))
        .collect()
}

/// Three active, two idle and four ended sessions, all old. One that ended has nothing left that leads to a person.
fn with_sessions() -> Db {
    let db = Db::migrated(Grants::Closed);
    db.admin()
        .batch_execute(
            "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform, status, started_at, created_at, last_activity_at,
               last_heartbeat_at, updated_at, ended_at, ip_address, user_agent, location_info)
             select '00000000-0000-4000-8000-000000000001', s.status || n, 'web', s.status, s.seen, s.seen, s.seen, s.seen, s.seen,
               case when s.status = 'ended' then s.seen end,
               case when n < 4 then inet '203.0.113.77' end, case when n < 4 then 'agent' end, '{}'
             from (values ('active', 3), ('idle', 2), ('ended', 4)) as k (status, sessions)
             cross join lateral generate_series(1, k.sessions) as n
             cross join lateral (select k.status, now() - make_interval(days => case when n = 1 then 40 else 100 end) as seen) as s",
        )
        .unwrap();
    db
}

#[test]
fn what_is_due_is_what_each_job_does_next() {
    let db = with_sessions();
    let before = json_of(&db);
    assert_eq!(due(&before), [("end-inactive", &json!(3)), ("cleanup", &json!(3))]);
    for due in before["due"].as_array().unwrap() {
        assert_eq!(due["estimate"], false);
    }
    // A job that has run is counted with the numbers of that run, and anonymize is one of this database's from then on.
    db.sessctl(&["anonymize", "--days", "1000"]).ok();
    db.sessctl(&["cleanup", "--days", "1000"]).ok();
    assert_eq!(
        due(&json_of(&db))[1..],
        [("cleanup", &json!(0)), ("anonymize", &json!(0))]
    );
    db.admin()
        .batch_execute("update sessctl.job set threshold = 30 where name = 'anonymize'")
        .unwrap();
    assert_eq!(due(&json_of(&db))[2], ("anonymize", &json!(3)));
    db.sessctl(&["anonymize", "--days", "30", "--yes"])
        .ok()
        .says("anonymized 3 sessions");
    assert_eq!(due(&json_of(&db))[2], ("anonymize", &json!(0)));
    // Idle sessions count where the last sweep ended them too.
    db.sessctl(&["end-inactive", "--include-idle", "--minutes", "200000"])
        .ok();
    db.admin()
        .batch_execute("update sessctl.job set threshold = 60 where name = 'end-inactive'")
        .unwrap();
    let status = json_of(&db);
    assert_eq!(due(&status)[0], ("end-inactive", &json!(5)));
    assert_eq!(status["due"][0]["threshold"], 60);
    db.sessctl(&["end-inactive", "--include-idle"])
        .ok()
        .says("ended 5 sessions");
    assert_eq!(due(&json_of(&db))[0], ("end-inactive", &json!(0)));
}

#[test]
fn of_a_large_table_few_are_counted_and_many_estimated() {
    let db = Db::migrated(Grants::Closed);
    let mut client = db.client();
    client.batch_execute(LARGE).unwrap();
    let status = json_of(&db);
    for due in status["due"].as_array().unwrap() {
        assert_eq!(due["estimate"], true, "{due}");
        let sessions = due["sessions"].as_u64().unwrap();
        assert!((10_800..=13_200).contains(&sessions), "{due}");
    }
    db.sessctl(&["status"]).ok().says("end-inactive  ~1");
    client
        .batch_execute(
            "update public.user_sessions set last_heartbeat_at = now() where status = 'active' and session_id::int > 6;
             update public.user_sessions set ended_at = now() where status = 'ended' and session_id::int > 6;
             analyze public.user_sessions",
        )
        .unwrap();
    let scans = "select coalesce(seq_scan, 0) from pg_stat_user_tables where relname = 'user_sessions'";
    let mut admin = db.admin();
    admin.batch_execute("select pg_stat_force_next_flush()").unwrap();
    let before = number(&mut admin, scans);
    let status = json_of(&db);
    assert_eq!(due(&status), [("end-inactive", &json!(3)), ("cleanup", &json!(3))]);
    assert_eq!(status["due"][0]["estimate"], false);
    admin.batch_execute("select pg_stat_clear_snapshot()").unwrap();
    assert_eq!(number(&mut admin, scans), before, "the whole table was read");
}

#[test]
fn the_sizes_are_those_that_the_server_tells() {
    let db = with_sessions();
    let status = json_of(&db);
    let mut client = db.client();
    let total = status["sizes"]["indexes"]
        .as_array()
        .unwrap()
        .iter()
        .chain([&json!({"bytes": status["sizes"]["table_bytes"]})])
        .map(|relation| relation["bytes"].as_i64().unwrap())
        .sum::<i64>();
    assert_eq!(
        total,
        number(&mut client, "select pg_total_relation_size('public.user_sessions')")
    );
    let indexes = "select count(*) from pg_indexes where tablename = 'user_sessions'";
    let listed = status["sizes"]["indexes"].as_array().unwrap().len();
    assert_eq!(i64::try_from(listed).unwrap(), number(&mut client, indexes));
    // Where the script was pasted, and nothing migrated, they are there too.
    let pasted = Db::pasted(Grants::Open);
    let status = json_of(&pasted);
    assert!(status["sizes"]["table_bytes"].as_i64().unwrap() > 0);
    assert_eq!((&status["due"], &status["up_to_date"]), (&Value::Null, &json!(false)));
    assert_eq!(json_of(&Db::fresh(Grants::Open))["sizes"], Value::Null);
}

#[test]
fn a_table_that_another_session_holds_leaves_the_rest_of_the_screen() {
    let db = with_sessions();
    db.sessctl(&["cleanup"]).ok();
    let mut holder = db.client();
    holder.batch_execute("begin; lock table public.user_sessions").unwrap();
    let run = db.sessctl(&["status", "--format", "json"]).ok();
    let status = run.json();
    assert_eq!(status["sizes"], Value::Null);
    assert_eq!(
        due(&status),
        [("end-inactive", &Value::Null), ("cleanup", &Value::Null)]
    );
    assert_eq!(status["jobs"][1]["last_run"]["rows"], 3);
    assert_eq!(status["up_to_date"], true);
    for warning in [
        "warning: can't count the sessions that are due for end-inactive: ",
        "warning: can't count the sessions that are due for cleanup: ",
        "warning: can't read the size of the table: ",
    ] {
        assert!(run.stderr.contains(warning), "{}", run.stderr);
    }
    let table = db.sessctl(&["status", "--quiet"]).ok();
    assert!(table.stderr.is_empty(), "{}", table.stderr);
}

#[test]
fn a_role_with_few_rights_sees_what_it_may() {
    let db = with_sessions();
    let role = format!("viewer_{}", db.name);
    db.admin()
        .batch_execute(&format!(
            "create role {role} login password 'view';
             grant usage on schema sessctl to {role};
             grant select on sessctl.schema_history to {role}"
        ))
        .unwrap();
    let run = Run::of(&mut sessctl_on(
        db.url_as(&role, "view"),
        &["status", "--format", "json"],
    ));
    let table = Run::of(&mut sessctl_on(db.url_as(&role, "view"), &["status"]));
    let observe = include_str!("../docs/observe.md");
    let (rights, _) = observe.split_once("```sql\n").unwrap().1.split_once("```").unwrap();
    db.admin().batch_execute(&rights.replace("ROLE", &role)).unwrap();
    let documented = Run::of(&mut sessctl_on(
        db.url_as(&role, "view"),
        &["status", "--format", "json"],
    ));
    db.admin()
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .unwrap();
    let status = run.ok().json();
    assert_eq!((&status["jobs"], &status["due"]), (&Value::Null, &Value::Null));
    assert_eq!(status["up_to_date"], true);
    assert!(status["sizes"]["table_bytes"].as_i64().unwrap() > 0);
    table.ok().says("the record of runs can't be read by this role");
    let status = documented.ok().says("row level security applies to this role").json();
    assert_eq!(status["jobs"].as_array().unwrap().len(), 3);
    assert_eq!(due(&status), [("end-inactive", &json!(0)), ("cleanup", &json!(0))]);
}

#[test]
fn every_migration_is_listed_on_request_and_else_those_that_are_not_applied() {
    let db = Db::migrated(Grants::Closed);
    let short = db.sessctl(&["status"]).ok();
    assert!(
        short.stdout.starts_with("the schema is at version "),
        "{}",
        short.stdout
    );
    db.sessctl(&["status", "--verbose"])
        .ok()
        .says("V1       create_user_sessions");
    db.admin()
        .batch_execute("update sessctl.schema_history set checksum = '1' where version = 2")
        .unwrap();
    let changed = db
        .sessctl(&["status"])
        .ok()
        .says("V2       policies  changed since it was applied");
    assert!(!changed.stdout.contains("create_user_sessions"), "{}", changed.stdout);
    assert!(
        changed
            .stdout
            .contains("and a migration changed after it was applied: run sessctl verify"),
        "{}",
        changed.stdout
    );
    assert_eq!(json_of(&db)["up_to_date"], false);
}

#[test]
fn the_message_of_a_run_that_failed_is_on_the_screen() {
    let db = with_sessions();
    db.admin()
        .batch_execute(
            "alter table public.user_sessions add constraint no_timeout check (status <> 'timeout') not valid",
        )
        .unwrap();
    db.sessctl(&["end-inactive", "--max-retries", "0"]).exits(3);
    db.sessctl(&["status"])
        .ok()
        .says("end-inactive failed: ")
        .says("no_timeout");
}

#[test]
fn the_next_run_is_that_of_pg_cron_in_this_database() {
    let Some(sandbox) = with_pg_cron() else { return };
    let run = |arguments: &[&str]| Run::of(sessctl().env("DATABASE_URL", sandbox.url()).args(arguments)).ok();
    let schedules = || run(&["status", "--format", "json"]).json()["schedules"].clone();
    run(&["migrate", "--quiet"]);
    assert_eq!(schedules(), json!([]));
    run(&["status"]).says("not scheduled here");
    // One that never comes, and one that comes far from now, so that the test has time.
    let mut client = Client::connect(&sandbox.url(), NoTls).unwrap();
    let row = client
        .query_one(
            "select extract(hour from t)::int, to_char(t, 'YYYY-MM-DD\"T\"HH24:\"17:00Z\"'), to_char(t, 'YYYY-MM-DD HH24:\"17:00\"')
             from (select now() at time zone 'UTC' + interval '5 hours' as t) as later",
            &[],
        )
        .unwrap();
    let (hour, next, shown): (i32, String, String) = (row.get(0), row.get(1), row.get(2));
    run(&[
        "schedule",
        "install",
        "--end-inactive",
        "0 0 30 2 *",
        "--cleanup",
        &format!("17 {hour} * * *"),
    ]);
    assert_eq!(
        schedules(),
        json!([
            {"job": "end-inactive", "schedule": "0 0 30 2 *", "username": "postgres", "active": true, "next_run_at": null},
            {"job": "cleanup", "schedule": format!("17 {hour} * * *"), "username": "postgres", "active": true, "next_run_at": next}
        ])
    );
    run(&["status"]).says(&shown);
    let mut admin = Client::connect(&sandbox.admin("postgres"), NoTls).unwrap();
    admin.batch_execute("update cron.job set active = false").unwrap();
    assert_eq!(schedules()[1]["next_run_at"], Value::Null);
    run(&["status"]).says("switched off");
    admin
        .batch_execute("update cron.job set active = true, database = 'other'")
        .unwrap();
    assert_eq!(schedules(), json!([]));
    // Whose jobs can't be seen, it is not known.
    admin
        .batch_execute("create role viewer login password 'view' in role pg_read_all_data; revoke usage on schema cron from public")
        .unwrap();
    let viewer = crate::common::url_as("viewer", "view", sandbox.port(), "postgres");
    admin.batch_execute("alter role viewer nobypassrls noinherit").unwrap();
    let seen = Run::of(&mut sessctl_on(&viewer, &["status", "--format", "json"]));
    assert!(seen.code == 3 || seen.json()["schedules"].is_null(), "{seen:?}");
}
