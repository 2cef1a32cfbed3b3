//! The record of runs: every run leaves a row, from every entry point, and its count is what the table says.

use postgres::Client;
use sessctl::sandbox::Grants;

use crate::common::proxy::Proxy;
use crate::common::running::{Running, wait_for};
use crate::common::{Db, Run, number, sessctl_on};

/// 1,000 sessions that a sweep ends, and 1,000 that a cleanup deletes.
const SEED: &str = "
  insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
  insert into public.user_sessions (user_id, session_id, platform, last_heartbeat_at)
  select '00000000-0000-4000-8000-000000000001', 'inactive' || n, 'web', now() - interval '5 hours'
  from generate_series(1, 1000) n;
  insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
  select '00000000-0000-4000-8000-000000000001', 'old' || n, 'web', 'ended', now() - interval '2 years', now() - interval '1 year' + n * interval '1 minute'
  from generate_series(1, 1000) n;
  analyze public.user_sessions";

fn seeded() -> Db {
    let db = Db::migrated(Grants::Closed);
    db.admin().batch_execute(SEED).unwrap();
    db
}

/// The runs of a job, oldest first: source, role, rows, outcome.
fn runs(client: &mut Client, job: &str) -> Vec<(String, String, i64, String)> {
    let sql = "select source, role::text, rows_done, coalesce(outcome, 'unfinished') from sessctl.run
        where job = $1 order by started_at";
    let rows = client.query(sql, &[&job]).unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect()
}

fn run_of(source: &str, role: &str, rows: i64, outcome: &str) -> (String, String, i64, String) {
    (source.into(), role.into(), rows, outcome.into())
}

#[test]
fn every_entry_point_leaves_a_row_and_adds_to_the_job() {
    let db = seeded();
    db.sessctl(&["end-inactive"]).ok();
    db.sessctl(&["end-inactive"]).ok();
    let mut client = db.client();
    client.batch_execute("select sessctl.cleanup(90, 400)").unwrap();
    db.api("service_role", None)
        .batch_execute("select public.cleanup_old_sessions(90)")
        .unwrap();
    client.batch_execute("select public.end_inactive_sessions(60)").unwrap();
    assert_eq!(
        runs(&mut client, "end-inactive"),
        [
            run_of("cli", "postgres", 1000, "done"),
            run_of("cli", "postgres", 0, "done"),
            run_of("sql", "postgres", 0, "done")
        ]
    );
    assert_eq!(
        runs(&mut client, "cleanup"),
        [
            run_of("sql", "postgres", 400, "incomplete"),
            run_of("api", "service_role", 600, "done")
        ]
    );
    for (job, total, done, threshold) in [("end-inactive", 3, 1000, 60), ("cleanup", 2, 1000, 90)] {
        let sql = "select runs, rows_done, threshold, running is null and failures = 0 and last_success_at is not null
            from sessctl.job where name = $1";
        let row = client.query_one(sql, &[&job]).unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (total, done), "{job}");
        assert_eq!(row.get::<_, i32>(2), threshold);
        assert!(row.get::<_, bool>(3), "{job}");
    }
}

#[test]
fn a_dry_run_leaves_nothing() {
    let db = seeded();
    for job in ["end-inactive", "cleanup", "anonymize"] {
        db.sessctl(&[job, "--dry-run"]).ok();
        assert_eq!(runs(&mut db.client(), job), []);
    }
}

#[test]
fn an_idle_run_leaves_its_row_in_one_round_trip() {
    let (db, proxy) = (Db::migrated(Grants::Closed), Proxy::to_the_server());
    for job in ["end-inactive", "cleanup", "anonymize"] {
        Run::of(&mut sessctl_on(proxy.url(&db.name), &[job])).ok();
        assert_eq!(proxy.round_trips(), 1, "{job}");
        assert_eq!(runs(&mut db.client(), job), [run_of("cli", "postgres", 0, "done")]);
    }
}

#[test]
fn an_idle_run_whose_answer_was_lost_is_recorded_once_and_not_taken_for_another() {
    let (db, proxy) = (Db::migrated(Grants::Closed), Proxy::to_the_server());
    for job in ["end-inactive", "cleanup", "anonymize"] {
        proxy.cut_after("run_idle(", 1);
        let run = Run::of(&mut sessctl_on(proxy.url(&db.name), &[job, "--format", "json"])).ok();
        assert_eq!(run.json()["skipped"], false, "{job}");
        assert_eq!(runs(&mut db.client(), job), [run_of("cli", "postgres", 0, "done")]);
    }
}

#[test]
fn a_call_that_its_caller_rolls_back_leaves_nothing() {
    let db = seeded();
    let mut client = db.client();
    client
        .batch_execute("begin; select sessctl.end_inactive(60), sessctl.cleanup(90); rollback")
        .unwrap();
    let left = "select count(*) from sessctl.run where true";
    assert_eq!(number(&mut client, left), 0);
    assert_eq!(number(&mut client, "select sum(runs)::bigint from sessctl.job"), 0);
    assert_eq!(
        number(
            &mut client,
            "select count(*) from public.user_sessions where status <> 'timeout'"
        ),
        2000
    );
}

#[test]
fn a_killed_client_is_another_run_for_a_minute_and_then_lost_and_its_rows_stay_counted() {
    for job in ["end-inactive", "cleanup"] {
        let db = seeded();
        let mut client = db.client();
        let child = Running::start(db.command(&[job, "--batch-size", "100", "--pause", "1h"]));
        let done = wait_for("the first batch", || runs(&mut client, job).first().map(|run| run.2));
        child.signal("-KILL");
        drop(child);
        assert_eq!(done, 100);
        let run = db.sessctl(&[job, "--format", "json"]).ok();
        assert_eq!(run.json()["skipped"], true, "{job}");
        db.sessctl(&["status"]).ok().says("running");
        // A minute later, by the record.
        client
            .batch_execute("update sessctl.run set progress_at = now() - interval '61 seconds' where outcome is null")
            .unwrap();
        db.sessctl(&["status"]).ok().says("lost");
        let run = db.sessctl(&[job, "--format", "json"]).ok().json();
        assert_eq!(run["skipped"], false);
        let found = runs(&mut client, job);
        assert_eq!(
            [&found[0], found.last().unwrap()],
            [
                &run_of("cli", "postgres", 100, "lost"),
                &run_of("cli", "postgres", 900, "done")
            ]
        );
        let sql = format!("select rows_done from sessctl.job where name = '{job}'");
        assert_eq!(number(&mut client, &sql), 1000);
    }
}

#[test]
fn a_run_that_was_closed_as_lost_does_no_more() {
    let db = seeded();
    let mut client = db.client();
    let arguments = ["cleanup", "--batch-size", "100", "--pause", "3s", "--format", "json"];
    let child = Running::start(db.command(&arguments));
    wait_for("the first batch", || {
        runs(&mut client, "cleanup").first().map(|run| run.2)
    });
    client
        .batch_execute("update sessctl.run set progress_at = now() - interval '61 seconds' where outcome is null")
        .unwrap();
    db.sessctl(&["cleanup"]).ok();
    let run = child.end().ok().json();
    assert_eq!((&run["skipped"], &run["deleted"]), (&true.into(), &100.into()));
    assert_eq!(
        runs(&mut client, "cleanup"),
        [
            run_of("cli", "postgres", 100, "lost"),
            run_of("cli", "postgres", 900, "done")
        ]
    );
}

/// A batch of a cleanup as the program sends it, of this generation.
fn batch(generation: i32) -> String {
    format!(
        "select (sessctl.cleanup_step('00000000-0000-4000-8000-00000000000a', 'cli', {generation},
           now() - interval '90 days', 90, 100, null)).rows_done"
    )
}

const FENCE: &str = "select f.rows_done from sessctl.run_fence(
    '00000000-0000-4000-8000-00000000000a', 'cleanup', 'cli', 0, now() - interval '90 days') as f";

#[test]
fn a_batch_of_an_old_connection_is_waited_for_and_counted() {
    let db = seeded();
    let (mut old, mut new) = (db.client(), db.client());
    let mut late = old.transaction().unwrap();
    assert_eq!(late.query_one(&batch(0), &[]).unwrap().get::<_, i64>(0), 100);
    new.batch_execute("set application_name = 'sessctl/test'").unwrap();
    let fence = std::thread::spawn(move || number(&mut new, FENCE));
    db.wait_for_process("wait_event_type = 'Lock'");
    late.commit().unwrap();
    assert_eq!(fence.join().unwrap(), 100);
}

#[test]
fn a_batch_that_comes_late_over_an_old_connection_changes_nothing() {
    let db = seeded();
    let (mut old, mut new) = (db.client(), db.client());
    assert_eq!(number(&mut old, &batch(0)), 100);
    assert_eq!(number(&mut new, FENCE), 100);
    let error = old.query_one(&batch(0), &[]).unwrap_err();
    assert_eq!(error.code().unwrap().code(), "SC001");
    assert_eq!(number(&mut new, &batch(1)), 200);
    assert_eq!(number(&mut new, "select count(*) from public.user_sessions"), 1800);
}

#[test]
fn a_record_that_a_failover_lost_begins_again_and_keeps_old_connections_out() {
    let db = seeded();
    let mut client = db.client();
    // As if the first batch and its record had never reached the new primary.
    assert_eq!(number(&mut client, FENCE), 0);
    assert_eq!(
        client.query_one(&batch(0), &[]).unwrap_err().code().unwrap().code(),
        "SC001"
    );
    assert_eq!(number(&mut client, &batch(1)), 100);
}

#[test]
fn statements_cancelled_at_random_moments_leave_the_count_right() {
    for (job, key, sql) in [
        (
            "end-inactive",
            "ended",
            "select count(*) from public.user_sessions where status = 'timeout'",
        ),
        (
            "cleanup",
            "deleted",
            "select 1000 - count(*) from public.user_sessions where session_id like 'old%'",
        ),
    ] {
        let db = seeded();
        let mut admin = db.admin();
        let child = Running::start(db.command(&[job, "--batch-size", "20", "--pause", "1ms", "--format", "json"]));
        let cancel = "select count(pg_cancel_backend(pid)) from pg_stat_activity
            where datname = current_database() and application_name like 'sessctl/%' and state = 'active'";
        wait_for("the first batch", || runs(&mut admin, job).first().map(|run| run.2));
        let mut cancelled = 0;
        for _ in 0..200 {
            cancelled += number(&mut admin, cancel);
            // Each halves the batches for good.
            if cancelled == 4 {
                break;
            }
        }
        let run = child.end().ok().json();
        assert_eq!(run[key], 1000, "{run}");
        assert_eq!(number(&mut admin, sql), 1000);
    }
}

#[test]
fn status_says_when_by_whom_how_many_and_with_what_outcome() {
    let db = seeded();
    let never = db.sessctl(&["status", "--format", "json"]).ok().json();
    assert_eq!(never["jobs"][0]["job"], "end-inactive");
    assert_eq!(never["jobs"][0]["last_run"], serde_json::Value::Null);
    db.sessctl(&["end-inactive", "--minutes", "30"]).ok();
    db.sessctl(&["cleanup", "--batch-size", "100", "--max-runtime", "1ms"])
        .ok();
    let jobs = &db.sessctl(&["status", "--format", "json"]).ok().json()["jobs"];
    let sweep = &jobs[0];
    assert_eq!(
        (&sweep["threshold"], &sweep["last_run"]["rows"]),
        (&30.into(), &1000.into())
    );
    assert_eq!(sweep["last_run"], sweep["last_success"]);
    assert_eq!(
        (&sweep["last_run"]["source"], &sweep["last_run"]["role"]),
        (&"cli".into(), &"postgres".into())
    );
    let cleanup = &jobs[1];
    assert_eq!(cleanup["last_run"]["outcome"], "incomplete");
    assert_eq!(
        (&cleanup["last_run"]["rows"], &cleanup["last_run"]["left"]),
        (&100.into(), &900.into())
    );
    assert_eq!(cleanup["last_success"], serde_json::Value::Null);
    db.sessctl(&["status"]).ok().says("cli (postgres)").says("incomplete");
}

#[test]
fn a_failed_run_is_recorded_with_its_message_and_without_the_contents_of_a_row() {
    let db = seeded();
    db.admin()
        .batch_execute(
            "alter table public.user_sessions add column secret text default 'hunter2';
             alter table public.user_sessions add constraint no_timeout check (status <> 'timeout') not valid",
        )
        .unwrap();
    db.sessctl(&["end-inactive", "--max-retries", "0"]).exits(3);
    let mut client = db.client();
    let row = client
        .query_one("select outcome, message from sessctl.run", &[])
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "failed");
    let message: String = row.get(1);
    assert!(message.contains("constraint no_timeout"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
    assert_eq!(
        number(
            &mut client,
            "select failures from sessctl.job where name = 'end-inactive'"
        ),
        1
    );
}

#[test]
fn a_run_whose_first_batch_failed_is_the_last_run_of_its_job() {
    let db = seeded();
    db.admin()
        .batch_execute(
            "delete from public.user_sessions where ctid not in (select ctid from public.user_sessions where status = 'active' limit 3);
             alter table public.user_sessions add constraint no_timeout check (status <> 'timeout') not valid",
        )
        .unwrap();
    db.sessctl(&["end-inactive"]).exits(3);
    let job = &db.sessctl(&["status", "--format", "json"]).ok().json()["jobs"][0];
    assert_eq!(job["last_run"]["outcome"], "failed");
    assert_eq!(job["last_success"], serde_json::Value::Null);
    db.sessctl(&["doctor"]).exits(1).says("the last run failed");
}

#[test]
fn old_rows_go_and_the_newest_of_each_job_stay() {
    let db = seeded();
    let mut client = db.client();
    for _ in 0..3 {
        db.sessctl(&["cleanup"]).ok();
    }
    client
        .batch_execute(
            "update sessctl.run set started_at = started_at - interval '31 days';
             update sessctl.job set pruned_at = now() - interval '2 days'",
        )
        .unwrap();
    db.sessctl(&["end-inactive"]).ok();
    // The last run of the cleanup is old too, and stays.
    assert_eq!(runs(&mut client, "cleanup").len(), 1);
    assert_eq!(runs(&mut client, "end-inactive").len(), 1);
    db.sessctl(&["status"]).ok().says("cleanup");
}

#[test]
fn what_only_reads_works_on_a_read_only_server() {
    let db = seeded();
    db.sessctl(&["cleanup"]).ok();
    db.admin()
        .batch_execute(&format!(
            "alter database {} set default_transaction_read_only = on",
            db.name
        ))
        .unwrap();
    for arguments in [
        &["end-inactive", "--dry-run"][..],
        &["cleanup", "--dry-run"],
        &["status"],
        &["summary"],
        &["verify"],
    ] {
        db.sessctl(arguments).ok();
    }
    db.sessctl(&["doctor"]).exits(1).says("it is read-only");
    db.sessctl(&["cleanup"]).exits(3).says("takes no writes");
}

#[test]
fn one_statement_gives_a_role_the_rights_that_maintenance_needs_and_the_apis_roles_have_none() {
    let db = seeded();
    let role = format!("cron_{}", db.name);
    db.admin()
        .batch_execute(&format!("create role {role} login bypassrls password 'secret'"))
        .unwrap();
    db.client()
        .batch_execute(&format!("select sessctl.grant_maintenance('{role}')"))
        .unwrap();
    let url = db.url_as(&role, "secret");
    for arguments in [
        &["end-inactive"][..],
        &["end-inactive", "--dry-run"],
        &["cleanup"],
        &["cleanup", "--dry-run"],
    ] {
        Run::of(&mut sessctl_on(&url, arguments)).ok();
    }
    let found = runs(&mut db.client(), "cleanup");
    assert_eq!(found, [run_of("cli", &role, 1000, "done")]);
    db.admin()
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .unwrap();
    for api in ["anon", "authenticated"] {
        for table in ["run", "job"] {
            let error = db
                .api(api, None)
                .batch_execute(&format!("select from sessctl.{table}"))
                .unwrap_err();
            assert_eq!(error.code().unwrap().code(), "42501", "{api}: {table}");
        }
    }
}

#[test]
fn a_copy_of_the_schema_without_rows_gets_the_rows_of_its_jobs_and_the_work_is_done() {
    for (command, key) in [("end-inactive", "ended"), ("cleanup", "deleted")] {
        let db = seeded();
        db.admin().batch_execute("truncate sessctl.job, sessctl.run").unwrap();
        let json = db.sessctl(&[command, "--format", "json"]).ok().json();
        assert_eq!((&json["skipped"], &json[key]), (&false.into(), &1000.into()), "{json}");
        db.admin().batch_execute("truncate sessctl.job, sessctl.run").unwrap();
        let idle = db.sessctl(&[command, "--format", "json"]).ok().json();
        assert_eq!(idle["skipped"], false, "{idle}");
        let jobs = format!("select count(*) from sessctl.job where name = '{command}' and runs = 1");
        assert_eq!(number(&mut db.client(), &jobs), 1);
    }
}
