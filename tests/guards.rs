//! What a run looks out for: other runs of its job, replicas that fall behind, and a --days that was mistyped.

use std::process::Stdio;

use postgres::{Client, NoTls};
use sessctl::sandbox::{Grants, Options, Sandbox};

use crate::common::pty::on_terminal_with_keys;
use crate::common::{Db, Run, block_on, number, sessctl};

/// 1,000 sessions that ended long ago.
const SEED: &str = "
  insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
  insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
  select '00000000-0000-4000-8000-000000000001', 'old' || n, 'web', 'ended', now() - interval '1 year', now() - interval '100 days' + n * interval '1 second'
  from generate_series(1, 1000) n";

fn seeded() -> Db {
    let db = Db::migrated(Grants::Closed);
    db.client().batch_execute(SEED).unwrap();
    db
}

fn sessions(db: &Db) -> i64 {
    number(&mut db.client(), "select count(*) from public.user_sessions")
}

#[test]
fn a_cleanup_with_fewer_days_that_takes_over_half_of_the_table_must_be_confirmed() {
    let db = seeded();
    db.sessctl(&["cleanup", "--days", "365"]).ok();
    for days in ["90", "1"] {
        db.sessctl(&["cleanup", "--days", days])
            .exits(3)
            .says("over half of the table")
            .says("the last run kept 365 days")
            .says("--yes");
    }
    // Looking is free.
    db.sessctl(&["cleanup", "--dry-run"]).ok().says("would delete 1,000");
    assert_eq!(sessions(&db), 1000);
    for (keys, code) in [("n\n", 3), ("\n", 3)] {
        let (shown, exit) = on_terminal_with_keys(80, keys, &mut db.command(&["cleanup"]));
        assert_eq!(exit, code, "{shown}");
        assert!(
            shown.contains("Go on? [y/N]") && shown.contains("nothing was changed"),
            "{shown}"
        );
    }
    assert_eq!(sessions(&db), 1000);
    let (shown, exit) = on_terminal_with_keys(80, "y\n", &mut db.command(&["cleanup"]));
    assert_eq!((exit, sessions(&db)), (0, 0), "{shown}");
}

#[test]
fn a_cleanup_is_not_confirmed_where_it_is_the_first_or_keeps_as_many_days_or_takes_less_than_half() {
    let db = seeded();
    db.client()
        .batch_execute(
            "insert into public.user_sessions (user_id, session_id, platform)
             select '00000000-0000-4000-8000-000000000001', 'new' || n, 'web' from generate_series(1, 1001) n",
        )
        .unwrap();
    db.sessctl(&["cleanup", "--days", "365"]).ok();
    db.sessctl(&["cleanup", "--days", "99"]).ok().says("deleted 1,000");
    assert_eq!(sessions(&db), 1001);

    let db = seeded();
    db.sessctl(&["cleanup"]).ok().says("deleted 1,000");
    db.client()
        .batch_execute(
            "insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
        values ('00000000-0000-4000-8000-000000000001', 'older', 'web', 'ended', now() - interval '1 year', now() - interval '91 days')",
        )
        .unwrap();
    db.sessctl(&["cleanup"]).ok().says("deleted 1 session");

    let db = seeded();
    db.sessctl(&["cleanup", "--days", "365"]).ok();
    db.sessctl(&["cleanup", "--yes"]).ok().says("deleted 1,000");
}

/// A record of a run that started so long ago, and is running.
fn other_run(db: &Db, started: &str) {
    let sql = format!(
        "insert into sessctl.run (id, job, source, cutoff, started_at, rows_done)
         values ('00000000-0000-4000-8000-00000000000a', 'cleanup', 'sql', now(), now() - interval '{started}', 12000)
         on conflict (id) do update set started_at = excluded.started_at;
         update sessctl.job set running = '00000000-0000-4000-8000-00000000000a' where name = 'cleanup'"
    );
    db.client().batch_execute(&sql).unwrap();
}

#[test]
fn another_run_that_is_met_again_is_told_to_cron() {
    let db = seeded();
    other_run(&db, "5 minutes");
    let first = db.sessctl(&["cleanup", "--quiet"]).ok();
    assert_eq!((first.stdout, first.stderr), (String::new(), String::new()));
    let second = db.sessctl(&["cleanup", "--quiet"]).ok();
    second
        .says("warning: another run of cleanup, started by sql as postgres, has been running for 5m")
        .says("12,000 deleted so far");
    assert_eq!(sessions(&db), 1000);
}

#[test]
fn another_run_that_never_ends_is_a_failure_while_work_is_due() {
    let db = seeded();
    other_run(&db, "16 minutes");
    db.sessctl(&["cleanup", "--quiet"])
        .exits(3)
        .says("error: another run of cleanup, started by sql as postgres, has been running for 16m")
        .says("hint: ");
    // Nothing is due for this one.
    db.sessctl(&["cleanup", "--days", "200", "--quiet"]).ok();
}

#[test]
fn the_process_of_another_run_is_named() {
    let db = seeded();
    let mut holder = db.client();
    let mut holding = holder.transaction().unwrap();
    let pid: i32 = holding.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    holding.batch_execute("select sessctl.lock_job('cleanup')").unwrap();
    other_run(&db, "16 minutes");
    db.sessctl(&["cleanup"])
        .exits(3)
        .says(&format!("select pg_terminate_backend({pid})"));
}

#[test]
fn a_procedure_that_another_run_keeps_out_for_long_fails_and_doctor_tells_it() {
    let db = seeded();
    let mut client = db.client();
    let doctor = || {
        let run = db.sessctl(&["doctor", "--format", "json"]);
        let lines = run.json();
        let lines = lines["checks"].as_array().unwrap();
        let line = lines.iter().find(|line| line["check"] == "cleanup-job").unwrap();
        (line["level"].clone(), line["message"].to_string())
    };
    let call = "call sessctl.run_cleanup(90)";
    other_run(&db, "14 minutes");
    client.batch_execute(call).unwrap();
    assert!(!doctor().1.contains("keeps all others out"));
    other_run(&db, "16 minutes");
    let error = client.batch_execute(call).unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(
        (error.code().code(), error.message()),
        (
            "SC003",
            "cleanup: another run, started by sql as postgres, has been running for 16 minutes"
        )
    );
    let skipped = "select count(*) from sessctl.run where outcome = 'skipped'";
    assert_eq!(number(&mut client, skipped), 2);
    let (level, message) = doctor();
    assert_eq!(level, "warning");
    assert!(
        message.contains("a run has been running for 16 min, and keeps all others out"),
        "{message}"
    );
    // A function's caller keeps its transaction.
    assert_eq!(number(&mut client, "select sessctl.cleanup(90)::bigint"), 0);
    // Nothing is due for this one.
    client.batch_execute("call sessctl.run_cleanup(200)").unwrap();
}

#[test]
fn doctor_names_the_process_that_holds_the_lock_for_long() {
    let db = seeded();
    let mut holder = db.client();
    let mut holding = holder.transaction().unwrap();
    let pid: i32 = holding.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    holding.batch_execute("select sessctl.lock_job('cleanup')").unwrap();
    other_run(&db, "16 minutes");
    let run = db.sessctl(&["doctor"]).exits(1);
    run.says(&format!("its server process is {pid}"));
    let error = db.client().batch_execute("call sessctl.run_cleanup(90)").unwrap_err();
    let message = error.as_db_error().unwrap().message().to_owned();
    assert!(
        message.ends_with(&format!("; its server process is {pid}")),
        "{message}"
    );
}

/// Puts a replica in place of those that are there, none, as far as `sessctl.replicas` tells: it has replayed up to what the
/// table `replica` says, or all where that is empty.
const REPLICA: &str = "
  create table public.replica (replayed bigint);
  create or replace function sessctl.replicas(out written bigint, out replayed bigint, out seconds double precision)
  language sql set search_path = '' as $$
    select w.written, coalesce((select max(r.replayed) from public.replica as r), w.written), null::double precision
    from (select (pg_current_wal_lsn() - '0/0')::bigint as written) as w
  $$";

#[test]
fn a_run_waits_for_a_replica_that_is_too_far_behind_and_goes_on_when_it_has_caught_up() {
    let db = seeded();
    let mut client = db.client();
    client.batch_execute(REPLICA).unwrap();
    client.batch_execute("insert into public.replica values (1)").unwrap();
    let arguments = ["cleanup", "--batch-size", "100", "--pause", "300ms", "--max-lag", "1s"];
    let mut run = db
        .command(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It lets a second pass before it knows, and has no transaction open while it waits.
    db.wait_for_process("state = 'idle' and query like '%sessctl.run as r set progress_at%'");
    let left = sessions(&db);
    assert!(left > 0, "it did not wait");
    assert!(run.try_wait().unwrap().is_none());
    client.batch_execute("delete from public.replica").unwrap();
    let out = run.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success() && stderr.contains("a replica is 1s behind, waiting for it"),
        "{stderr}"
    );
    assert_eq!(sessions(&db), 0);
}

#[test]
fn a_run_out_of_time_while_it_waits_for_a_replica_says_what_is_left() {
    let db = seeded();
    db.client().batch_execute(REPLICA).unwrap();
    db.client()
        .batch_execute("insert into public.replica values (1)")
        .unwrap();
    let run = db
        .sessctl(&[
            "cleanup",
            "--batch-size",
            "1",
            "--max-lag",
            "0s",
            "--max-runtime",
            "1s",
            "--format",
            "json",
        ])
        .ok();
    assert_eq!(run.json()["left"], sessions(&db));
}

#[test]
fn without_replicas_max_lag_changes_nothing() {
    let db = seeded();
    db.sessctl(&["cleanup", "--max-lag", "1s"]).ok().says("deleted 1,000");
}

#[test]
fn right_after_a_large_cleanup_a_small_one_reads_no_more_than_its_own_sessions() {
    let db = seeded();
    let mut client = db.client();
    let add = |name: &str, rows: u32, days: u32| {
        format!(
            "insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
             select '00000000-0000-4000-8000-000000000001', '{name}' || n, 'web', 'ended', now() - interval '1 year',
               now() - interval '{days} days' + n * interval '1 second'
             from generate_series(1, {rows}) n"
        )
    };
    client
        .batch_execute("alter table public.user_sessions set (autovacuum_enabled = off)")
        .unwrap();
    // Small transactions: a long one keeps the tests beside this one from seeing their dead rows as dead.
    for part in 0..20 {
        client
            .batch_execute(&add(&format!("older{part}_"), 5_000, 100))
            .unwrap();
        client.batch_execute(&add(&format!("newer{part}_"), 5_000, 50)).unwrap();
    }
    client.batch_execute("analyze public.user_sessions").unwrap();
    db.sessctl(&["cleanup"]).ok().says("deleted 101,000");
    client.batch_execute(&add("due", 10, 100)).unwrap();
    let read = "select coalesce(sum(i.idx_tup_read), 0)::bigint from pg_stat_user_indexes as i
        where i.relname = 'user_sessions' and i.indexrelname <> 'idx_user_sessions_ended_at'";
    let before = number(&mut client, read);
    db.sessctl(&["cleanup"]).ok().says("deleted 10");
    let by_others = number(&mut client, read) - before;
    assert!(by_others < 1_000, "{by_others}");
}

#[test]
fn after_a_large_cleanup_the_next_look_walks_no_dead_index_entries() {
    // A server of its own: a transaction of another test, in another database, keeps index entries from being marked as dead.
    let sandbox = block_on(Sandbox::start(&Options::default())).unwrap();
    let run = |command: &str| Run::of(sessctl().env("DATABASE_URL", sandbox.url()).arg(command)).ok();
    run("migrate");
    let mut client = Client::connect(&sandbox.url(), NoTls).unwrap();
    client
        .batch_execute("alter table public.user_sessions set (autovacuum_enabled = off)")
        .unwrap();
    // Stored in another order than they ended, so that a cleanup goes by blocks and not by the index.
    let seed = SEED.replace("n * interval", "(n * 7919 % 100003) * interval");
    client.batch_execute(&seed.replace("(1, 1000)", "(1, 100000)")).unwrap();
    client.batch_execute("analyze public.user_sessions").unwrap();
    run("cleanup").says("deleted 100,000");
    let lines = client
        .simple_query(
            "explain (analyze, buffers, costs off, timing off, summary off) select sessctl.cleanup_is_due(now())",
        )
        .unwrap();
    let plan = format!("{lines:?}");
    let blocks = plan.split("shared hit=").nth(1).unwrap();
    let blocks: u64 = blocks
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap()
        .parse()
        .unwrap();
    // Each dead entry would be a look at its row's page.
    assert!(blocks < 10_000, "{plan}");
}

/// What became of the table, and what a run says.
const REPLACED: [(&str, &str); 3] = [
    (
        "alter table public.user_sessions rename to sessions_before;
         create table public.user_sessions (like public.sessions_before including all)",
        "the views of sessctl read public.sessions_before instead of public.user_sessions",
    ),
    (
        "alter table public.user_sessions rename to sessions_before;
         create table public.user_sessions (like public.sessions_before including defaults) partition by range (created_at);
         create table public.sessions_rest partition of public.user_sessions default",
        "public.user_sessions is not an ordinary table",
    ),
    (
        "alter table public.user_sessions rename to sessions_before;
         create view public.user_sessions as select * from public.sessions_before",
        "public.user_sessions is not an ordinary table",
    ),
];

#[test]
fn a_table_that_took_the_name_of_ours_is_refused_and_the_other_one_left_alone() {
    for (change, says) in REPLACED {
        let db = seeded();
        // Both jobs have found the table that they know.
        db.sessctl(&["cleanup", "--days", "365"]).ok();
        db.sessctl(&["end-inactive"]).ok();
        db.client().batch_execute(change).unwrap();
        for arguments in [
            &["cleanup"][..],
            &["cleanup", "--dry-run"],
            &["end-inactive"],
            &["end-inactive", "--dry-run"],
        ] {
            db.sessctl(arguments).exits(3).says(says).says("hint: ");
        }
        for call in ["public.cleanup_old_sessions(90)", "public.end_inactive_sessions(60)"] {
            let error = db.client().execute(&format!("select {call}"), &[]).unwrap_err();
            assert_eq!(error.as_db_error().unwrap().message(), says);
        }
        assert_eq!(
            number(&mut db.client(), "select count(*) from public.sessions_before"),
            1000
        );
    }
}
