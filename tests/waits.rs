//! Every wait has an end: on signals, in time limits, and on the server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use sessctl::sandbox::Grants;

use crate::common::fake_server::{FakeServer, Manner};
use crate::common::proxy::Proxy;
use crate::common::running::{Running, signal, wait_for, wait_until};
use crate::common::{Db, number, sessctl, sessctl_on};

/// Three times the five seconds within which a signal ends the program.
const AFTER_A_SIGNAL: Duration = Duration::from_secs(15);

/// Three times the ten seconds by which a run may exceed its maximum runtime.
const AFTER_THE_TIME: Duration = Duration::from_secs(30);

/// Less than what the program has after its first signal.
const AT_ONCE: Duration = Duration::from_secs(4);

/// A server's binaries of which initdb runs for a minute; its process id is in the file `pid`.
fn endless_initdb() -> tempfile::TempDir {
    // Where programs are built they can run, which is not said of the folder for temporary files.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo 'postgres (PostgreSQL) 15.0' && exit\necho $$ > '{}/pid'\nexec sleep 60\n",
        dir.path().display()
    );
    for name in ["initdb", "postgres"] {
        let path = dir.path().join(name);
        fs::write(&path, &script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    // A sandbox of root runs as another user.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    dir
}

fn process_of(dir: &Path) -> u32 {
    let read = || fs::read_to_string(dir.join("pid")).ok()?.trim().parse().ok();
    wait_for("initdb", read)
}

#[test]
fn what_blocks_is_ended_by_the_second_signal_or_by_the_first_within_five_seconds() {
    for command in ["sandbox", "demo"] {
        for (signals, limit) in [(&["-INT", "-TERM"][..], AT_ONCE), (&["-TERM"], AFTER_A_SIGNAL)] {
            let dir = endless_initdb();
            let mut program = sessctl();
            program
                .args([command, "--pg-bindir"])
                .arg(dir.path())
                .env("TMPDIR", dir.path());
            let running = Running::start(program);
            let initdb = process_of(dir.path());
            for name in signals {
                running.signal(name);
            }
            let run = running.end_within(limit);
            run.exits(130);
            // The sandbox's watcher has ended it.
            wait_until("the end of initdb", || !Path::new(&format!("/proc/{initdb}")).exists());
        }
    }
}

/// For what ends by limits of some seconds, one after the other.
const AFTER_ITS_LIMITS: Duration = Duration::from_secs(120);

/// Three times the fifteen seconds within which the server is free, as its statement_timeout.
const UNTIL_THE_SERVER_IS_FREE: &str = "set statement_timeout = '45s'";

/// 500 sessions that a sweep ends, in the first 500 rows, and 500 that a cleanup deletes.
const SEED: &str = "
  insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
  insert into public.user_sessions (user_id, session_id, platform, last_heartbeat_at)
  select '00000000-0000-4000-8000-000000000001', 'inactive' || n, 'web', now() - interval '5 hours'
  from generate_series(1, 500) n;
  insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
  select '00000000-0000-4000-8000-000000000001', 'old' || n, 'web', 'ended', now() - interval '2 years', now() - interval '1 year' + n * interval '1 minute'
  from generate_series(1, 500) n;
  analyze public.user_sessions";

const ENDED: &str = "select count(*) from public.user_sessions where status = 'timeout'";
const DELETED: &str = "select 500 - count(*) from public.user_sessions where session_id like 'old%'";

const HEARTBEAT: &str =
    "update public.user_sessions set last_heartbeat_at = now(), status = 'active' where session_id = 'inactive1'";

fn seeded() -> Db {
    let db = Db::migrated(Grants::Closed);
    db.admin().batch_execute(SEED).unwrap();
    db
}

/// Each of the first rows that are written takes so many seconds.
fn slow_down(db: &Db, rows: u32, seconds: f64) {
    let sql = format!(
        "create sequence public.rows_written;
         create function public.slow() returns trigger language plpgsql security definer as $$
         begin
           if nextval('public.rows_written') <= {rows} then perform pg_sleep({seconds}); end if;
           return coalesce(new, old);
         end $$;
         create trigger slow before update or delete on public.user_sessions for each row execute function public.slow()"
    );
    db.admin().batch_execute(&sql).unwrap();
}

fn through(proxy: &Proxy, db: &Db, arguments: &[&str]) -> Running {
    Running::start(sessctl_on(proxy.url(&db.name), arguments))
}

/// Runs each case on a thread of its own: they wait for most of the time.
fn at_once<T: Sync>(cases: &[T], check: impl Fn(&T) + Sync) {
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| check(case));
        }
    });
}

/// What waits for an answer before it changes anything.
const COMMANDS: [&[&str]; 13] = [
    &["summary"],
    &["verify"],
    &["status"],
    &["doctor"],
    &["schedule", "list"],
    &["schedule", "install"],
    &["schedule", "remove"],
    &["migrate"],
    &["migrate", "--dry-run"],
    &["end-inactive"],
    &["end-inactive", "--dry-run"],
    &["cleanup"],
    &["cleanup", "--dry-run"],
];

#[test]
fn a_signal_ends_what_waits_for_a_peer_that_fell_silent_in_mid_query() {
    let db = seeded();
    at_once(&COMMANDS, |arguments| {
        for (name, is_silent) in [("-TERM", true), ("-INT", false)] {
            let proxy = Proxy::to_the_server();
            proxy.swallow_from("begin", 1);
            let running = through(&proxy, &db, arguments);
            proxy.wait_for("begin", 1);
            proxy.silence_new(is_silent);
            running.signal(name);
            if is_silent {
                // The cancel request.
                proxy.wait_for_silenced(1);
            }
            running.end_within(AFTER_A_SIGNAL).exits(130).says("stopped");
        }
    });
}

const JOBS: [(&str, &str, &str); 2] = [("end-inactive", "ended", ENDED), ("cleanup", "deleted", DELETED)];

const IN_DOUBT: &str = "whether the last batch was committed is not known";

#[test]
fn a_signal_ends_a_run_whose_peer_fell_silent_in_a_batch_and_its_count_is_right_or_in_doubt() {
    for is_silent in [true, false] {
        at_once(&JOBS, |(command, key, done)| {
            for is_handed_on in [true, false] {
                let (db, proxy) = (seeded(), Proxy::to_the_server());
                match is_handed_on {
                    true => proxy.swallow_after("_step(", 2),
                    false => proxy.swallow_from("_step(", 2),
                }
                let running = through(&proxy, &db, &[command, "--batch-size", "100", "--format", "json"]);
                proxy.wait_for("_step(", 2);
                proxy.silence_new(is_silent);
                running.signal("-TERM");
                let run = running.end_within(AFTER_A_SIGNAL).exits(130);
                assert_eq!(run.json()["interrupted"], true);
                let table = if is_handed_on { 200 } else { 100 };
                let mut admin = db.admin();
                wait_until("the server's commit", || number(&mut admin, done) == table);
                // Over a new connection the run's record says what is done, where that answers in time.
                let is_in_doubt = run.stderr.contains(IN_DOUBT);
                assert!(is_in_doubt || !is_silent, "{}", run.stderr);
                let counted = if is_in_doubt { 100 } else { table };
                assert_eq!(run.json()[key], Value::from(counted), "{}", run.stderr);
            }
        });
    }
}

#[test]
fn a_signal_ends_a_migration_whose_answer_does_not_come() {
    for statement in [
        "create table if not exists public.user_sessions",
        "create index concurrently",
    ] {
        let (db, proxy) = (Db::fresh(Grants::Closed), Proxy::to_the_server());
        proxy.swallow_from(statement, 1);
        let running = through(&proxy, &db, &["migrate"]);
        proxy.wait_for(statement, 1);
        proxy.silence_new(true);
        running.signal("-TERM");
        running.end_within(AFTER_A_SIGNAL).exits(130).says("stopped");
    }
}

#[test]
fn a_run_ends_within_its_time_though_a_batch_gets_no_answer() {
    for is_silent in [true, false] {
        at_once(&JOBS, |(command, key, done)| {
            let (db, proxy) = (seeded(), Proxy::to_the_server());
            proxy.swallow_after("_step(", 1);
            let limited = [
                command,
                "--batch-size",
                "100",
                "--max-runtime",
                "1s",
                "--format",
                "json",
            ];
            let running = through(&proxy, &db, &limited);
            proxy.wait_for("_step(", 1);
            proxy.silence_new(is_silent);
            let run = running.end_within(AFTER_THE_TIME);
            let mut admin = db.admin();
            wait_until("the server's commit", || number(&mut admin, done) == 100);
            if is_silent || run.code == 3 {
                run.exits(3)
                    .says("no answer before --max-runtime was over")
                    .says(&format!("0 sessions had been {key} before; {IN_DOUBT}"));
            } else {
                // Over a new connection the run's record says what is done, where that answers in time.
                let json = run.ok().json();
                assert_eq!((&json[key], &json["left"]), (&Value::from(100), &Value::from(400)));
            }
        });
    }
}

#[test]
fn a_run_ends_within_its_time_at_whatever_it_waits_for() {
    let db = seeded();
    at_once(&COMMANDS[9..], |arguments| {
        let proxy = Proxy::to_the_server();
        // A dry run's, or what a run begins with.
        proxy.swallow_from("begin", 1);
        let running = through(&proxy, &db, &[arguments, &["--max-runtime", "1s"][..]].concat());
        proxy.wait_for("begin", 1);
        proxy.silence_new(true);
        running
            .end_within(AFTER_THE_TIME)
            .exits(3)
            .says("no answer before --max-runtime was over");
    });
    at_once(&JOBS, |(command, _, done)| {
        let (db, proxy) = (seeded(), Proxy::to_the_server());
        proxy.swallow_from("run_finish(", 1);
        let running = through(&proxy, &db, &[command, "--max-runtime", "1s"]);
        proxy.wait_for("run_finish(", 1);
        proxy.silence_new(true);
        running
            .end_within(AFTER_THE_TIME)
            .exits(3)
            .says("no answer before --max-runtime was over");
        assert!(number(&mut db.admin(), done) > 0);
    });
    at_once(&JOBS, |(command, ..)| {
        let (db, proxy) = (seeded(), Proxy::to_the_server());
        proxy.cut_before("_step(", 1);
        proxy.swallow_from("run_fence(", 1);
        let running = through(&proxy, &db, &[command, "--max-runtime", "1s"]);
        proxy.wait_for("run_fence(", 1);
        proxy.silence_new(true);
        running
            .end_within(AFTER_THE_TIME)
            .exits(3)
            .says("no answer before --max-runtime was over")
            .says(IN_DOUBT);
    });
    let server = FakeServer::start(Manner::Silence);
    at_once(&COMMANDS[9..], |arguments| {
        let limits = ["--max-runtime", "1s", "--connect-timeout", "1h", "--wait", "1h"];
        Running::start(sessctl_on(server.url(), &[arguments, &limits[..]].concat()))
            .end_within(AFTER_THE_TIME)
            .exits(3)
            .says("no connection before --max-runtime was over");
    });
}

#[test]
fn a_run_ends_within_its_time_in_a_pause_and_in_a_slow_batch_and_counts_what_is_left() {
    let db = seeded();
    let short = ["--max-runtime", "1s", "--format", "json"];
    let pausing =
        Running::start(db.command(&[&["cleanup", "--batch-size", "10", "--pause", "1h"], &short[..]].concat()));
    let run = pausing.end_within(AFTER_THE_TIME).ok();
    assert_eq!(run.json()["deleted"], Value::from(10));
    assert_eq!(run.json()["left"], Value::from(490));

    slow_down(&db, 1_000, 3600.0);
    let slow = Running::start(db.command(&[&["end-inactive", "--timeout", "1h"], &short[..]].concat()));
    let run = slow.end_within(AFTER_THE_TIME).ok();
    assert_eq!(run.json()["ended"], Value::from(0));
    assert_eq!(run.json()["left"], Value::from(500));
}

#[test]
fn a_run_out_of_time_that_can_not_count_what_is_left_closes_its_record_nevertheless() {
    let db = seeded();
    let running = Running::start(db.command(&[
        "cleanup",
        "--batch-size",
        "10",
        "--pause",
        "1h",
        "--max-runtime",
        "8s",
        "--format",
        "json",
    ]));
    let mut holder = db.client();
    wait_until("the first batch", || number(&mut holder, DELETED) == 10);
    holder.batch_execute("begin; lock table public.user_sessions").unwrap();
    let run = running.end_within(AFTER_THE_TIME).ok();
    holder.batch_execute("rollback").unwrap();
    assert_eq!(
        (&run.json()["deleted"], &run.json()["left"]),
        (&Value::from(10), &Value::Null)
    );
    let closed = "select count(*) from sessctl.run where outcome = 'incomplete' and rows_done = 10";
    assert_eq!(number(&mut holder, closed), 1);
}

#[test]
fn a_server_that_says_nothing_is_given_up_after_the_connect_timeout() {
    let server = FakeServer::start(Manner::Silence);
    at_once(&COMMANDS, |arguments| {
        let limited = [arguments, &["--connect-timeout", "1s"][..]].concat();
        let running = Running::start(sessctl_on(server.url(), &limited));
        running
            .end_within(AFTER_ITS_LIMITS)
            .exits(3)
            .says("no answer within 1s");
    });
}

#[test]
fn an_answer_that_does_not_come_is_given_up_after_the_timeout() {
    let db = seeded();
    at_once(&COMMANDS, |arguments| {
        let proxy = Proxy::to_the_server();
        proxy.swallow_from("begin", 1);
        let limits = ["--timeout", "1s", "--connect-timeout", "5s"];
        let is_run = ["end-inactive", "cleanup"].contains(&arguments[0]);
        let retries: &[&str] = if is_run { &["--max-retries", "1"] } else { &[] };
        let running = through(&proxy, &db, &[arguments, &limits[..], retries].concat());
        proxy.wait_for("begin", 1);
        proxy.silence_new(true);
        running.end_within(AFTER_ITS_LIMITS).exits(3).says("no answer");
    });
}

#[test]
fn an_answer_takes_no_longer_on_the_server_than_the_timeout_says() {
    let db = seeded();
    let mut holder = db.client();
    holder.batch_execute("begin; lock table public.user_sessions").unwrap();
    let run = db.sessctl(&["summary", "--timeout", "100ms"]).exits(3);
    run.says("statement timeout").says("give it more time with --timeout");
}

#[test]
fn a_batch_without_an_answer_is_given_up_and_the_run_goes_on() {
    let (db, proxy) = (seeded(), Proxy::to_the_server());
    proxy.swallow_after("_step(", 2);
    let running = through(
        &proxy,
        &db,
        &["end-inactive", "--batch-size", "100", "--format", "json"],
    );
    let run = running.end_within(AFTER_ITS_LIMITS).ok();
    assert!(run.stderr.contains("lost the connection"), "{}", run.stderr);
    assert_eq!(run.json()["ended"], Value::from(500));
    assert_eq!(number(&mut db.admin(), ENDED), 500);
}

#[test]
fn each_transaction_of_a_run_sets_its_limits_and_keeps_a_lesser_one_of_the_server() {
    let db = seeded();
    db.admin()
        .batch_execute(
            "create table public.settings (name text, value text);
             create function public.note() returns trigger language plpgsql security definer as $$
             begin
               insert into public.settings
               select name, current_setting(name) from unnest(array[
                 'statement_timeout', 'idle_in_transaction_session_timeout', 'client_connection_check_interval',
                 'tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count'
               ]) as name;
               return null;
             end $$;
             create trigger note after update on public.user_sessions for each statement execute function public.note()",
        )
        .unwrap();
    let mut admin = db.admin();
    let mut settings = |own: &str| -> Vec<String> {
        admin
            .batch_execute(&format!(
                "truncate public.settings; update public.user_sessions set status = 'active', ended_at = null
                 where session_id like 'inactive%'; truncate public.settings;
                 alter role postgres in database {} set statement_timeout = '{own}'",
                db.name
            ))
            .unwrap();
        db.sessctl(&["end-inactive"]).ok();
        let rows = admin
            .query(
                "select distinct name || ' ' || value from public.settings order by 1",
                &[],
            )
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    let with_own = |statement_timeout: &str| {
        [
            "client_connection_check_interval 2s",
            "idle_in_transaction_session_timeout 5s",
            "statement_timeout ",
            "tcp_keepalives_count 3",
            "tcp_keepalives_idle 4",
            "tcp_keepalives_interval 2",
        ]
        .map(|line| match line.ends_with(' ') {
            true => format!("{line}{statement_timeout}"),
            false => line.to_owned(),
        })
    };
    for (own, expected) in [("0", "10s"), ("1min", "10s"), ("8s", "8s"), ("7500ms", "7500ms")] {
        assert_eq!(settings(own), with_own(expected), "{own}");
    }
}

/// Waits until a session is locked that a heartbeat comes for.
#[track_caller]
fn wait_for_lock(db: &Db) {
    let mut client = db.client();
    let lock = "set lock_timeout = '10ms'; select from public.user_sessions where session_id = 'inactive1' for update";
    wait_until("a lock on the session", || client.batch_execute(lock).is_err());
}

#[track_caller]
fn heartbeat_gets_through(db: &Db) {
    db.client()
        .batch_execute(&format!("{UNTIL_THE_SERVER_IS_FREE}; {HEARTBEAT}"))
        .unwrap();
}

#[test]
fn the_server_is_free_after_a_client_that_was_killed_in_a_batch() {
    let db = seeded();
    slow_down(&db, 1_000, 1.0);
    // Neither the server's own limit nor the one of a batch ends it.
    db.admin()
        .batch_execute(&format!(
            "alter role postgres in database {} set statement_timeout = 0",
            db.name
        ))
        .unwrap();
    let running = Running::start(db.command(&["end-inactive", "--timeout", "1h"]));
    wait_for_lock(&db);
    running.signal("-KILL");
    heartbeat_gets_through(&db);
}

#[test]
fn the_server_is_free_after_a_network_that_fell_silent_in_a_batch() {
    let (db, proxy) = (seeded(), Proxy::to_the_server());
    slow_down(&db, 1_000, 1.0);
    proxy.swallow_after("_step(", 1);
    let _running = through(&proxy, &db, &["end-inactive"]);
    wait_for_lock(&db);
    proxy.silence_new(true);
    heartbeat_gets_through(&db);
}

#[test]
fn the_server_is_free_after_a_network_that_fell_silent_in_a_migration() {
    let (db, proxy) = (Db::pasted(Grants::Closed), Proxy::to_the_server());
    db.admin().batch_execute(SEED).unwrap();
    proxy.swallow_after("create table if not exists public.user_sessions", 1);
    let _running = through(&proxy, &db, &["migrate"]);
    wait_for_lock(&db);
    heartbeat_gets_through(&db);
}

#[test]
fn a_batch_still_running_on_the_lost_connection_is_waited_for() {
    let (db, proxy) = (seeded(), Proxy::to_the_server());
    // Much longer than one wait for its lock.
    slow_down(&db, 100, 0.12);
    let running = through(
        &proxy,
        &db,
        &[
            "end-inactive",
            "--batch-size",
            "100",
            "--timeout",
            "1h",
            "--format",
            "json",
        ],
    );
    db.wait_for_process("wait_event = 'PgSleep'");
    proxy.hang_up_on_clients();
    let run = running.end().ok();
    assert!(
        proxy.errors().contains(&"55P03".into()),
        "one wait was enough: {:?}",
        proxy.errors()
    );
    assert_eq!(
        (&run.json()["ended"], &run.json()["skipped"]),
        (&Value::from(500), &Value::from(false))
    );
    assert_eq!(number(&mut db.admin(), ENDED), 500);
}

#[test]
fn an_idle_run_still_running_on_the_lost_connection_is_not_another_run() {
    for job in ["end-inactive", "cleanup"] {
        let (db, proxy) = (Db::migrated(Grants::Closed), Proxy::to_the_server());
        let mut holder = db.admin();
        holder
            .batch_execute("begin; select from sessctl.job for update")
            .unwrap();
        let running = through(&proxy, &db, &[job, "--format", "json"]);
        // It has the job's advisory lock, and waits for the job's row.
        db.wait_for_process("wait_event = 'transactionid'");
        proxy.hang_up_on_clients();
        db.wait_for_process("wait_event = 'advisory'");
        holder.batch_execute("rollback").unwrap();
        let run = running.end().ok();
        assert_eq!(run.json()["skipped"], false, "{job}: {}", run.stderr);
        let done = format!("select count(*) from sessctl.run where job = '{job}' and outcome = 'done'");
        assert_eq!(number(&mut db.admin(), &done), 1, "{job}");
    }
}

#[test]
fn an_idle_run_that_outlasts_one_wait_for_its_lock_is_not_another_run_either() {
    for job in ["end-inactive", "cleanup"] {
        let (db, proxy) = (Db::migrated(Grants::Closed), Proxy::to_the_server());
        // The first run of all writes its record before anything else.
        db.sessctl(&[job]).ok();
        let mut holder = db.admin();
        holder
            .batch_execute("begin; select from sessctl.job for update")
            .unwrap();
        let running = through(&proxy, &db, &[job, "--format", "json"]);
        db.wait_for_process("wait_event = 'transactionid'");
        let pid = "select pid::bigint from pg_stat_activity
            where datname = current_database() and application_name like 'sessctl/%'";
        let pid = u32::try_from(number(&mut db.admin(), pid)).unwrap();
        // It holds the job's advisory lock, whatever becomes of its connection.
        signal("-STOP", pid);
        proxy.hang_up_on_clients();
        let mut errors = Vec::new();
        wait_until("the end of one wait", || {
            errors = proxy.errors();
            !errors.is_empty()
        });
        signal("-CONT", pid);
        holder.batch_execute("rollback").unwrap();
        let run = running.end().ok();
        assert_eq!(errors, ["55P03"], "{job}");
        assert_eq!(run.json()["skipped"], false, "{job}: {}", run.stderr);
        let done = format!("select count(*) from sessctl.run where job = '{job}' and outcome = 'done'");
        assert_eq!(number(&mut db.admin(), &done), 2, "{job}");
    }
}

#[test]
fn another_run_that_holds_the_lock_is_not_waited_for_after_a_lost_connection() {
    for (job, number) in [("end-inactive", 2), ("cleanup", 3)] {
        let (db, proxy) = (seeded(), Proxy::to_the_server());
        proxy.cut_before("_step(", 1);
        let mut other = db.admin();
        other
            .batch_execute(&format!("begin; select pg_advisory_xact_lock(1936028531, {number})"))
            .unwrap();
        let run = through(&proxy, &db, &[job, "--format", "json"]).end().ok();
        assert_eq!(run.json()["skipped"], true, "{job}: {}", run.stderr);
        assert_eq!(proxy.errors(), Vec::<String>::new(), "{job}");
    }
}

/// A cleanup whose batch never ends, since the server's process stands still in its middle; the process's id.
fn standing_still(arguments: &[&str]) -> (Db, Running, u32) {
    let db = Db::migrated(Grants::Closed);
    db.client()
        .batch_execute(
            "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
             select '00000000-0000-4000-8000-000000000001', n::text, 'web', 'ended', t, t
             from generate_series(1, 100) n, (select now() - interval '1 year') as t (t);
             create function public.slow() returns trigger language plpgsql as
               'begin perform pg_sleep(60); return old; end';
             create trigger slow before delete on public.user_sessions for each row execute function public.slow()",
        )
        .unwrap();
    let running = Running::start(db.command(&[&["cleanup", "--format", "json"], arguments].concat()));
    db.wait_for_process("wait_event = 'PgSleep'");
    let pid = "select pid::bigint from pg_stat_activity
        where datname = current_database() and application_name like 'sessctl/%'";
    let pid = u32::try_from(number(&mut db.admin(), pid)).unwrap();
    signal("-STOP", pid);
    (db, running, pid)
}

#[test]
fn a_server_that_stands_still_in_a_batch_keeps_no_signal_from_ending_the_program() {
    for name in ["-TERM", "-INT"] {
        let (_db, running, pid) = standing_still(&[]);
        running.signal(name);
        let run = running.end_within(AFTER_A_SIGNAL);
        signal("-CONT", pid);
        run.exits(130);
    }
}

#[test]
fn a_server_that_stands_still_in_a_batch_does_not_outlast_the_maximum_runtime() {
    let (_db, running, pid) = standing_still(&["--max-runtime", "1s"]);
    let run = running.end_within(AFTER_THE_TIME);
    signal("-CONT", pid);
    run.exits(3)
        .says("no answer before --max-runtime was over")
        .says(IN_DOUBT);
}

#[test]
fn a_batch_that_takes_longer_than_the_maximum_runtime_is_cut_off_and_leaves_nothing_running() {
    let (db, running, pid) = standing_still(&["--max-runtime", "1s"]);
    signal("-CONT", pid);
    let json = running.end_within(AFTER_THE_TIME).ok().json();
    assert_eq!((&json["deleted"], &json["left"]), (&0.into(), &100.into()));
    let mut admin = db.admin();
    let gone = "select count(*) from pg_stat_activity where datname = current_database() and application_name like 'sessctl/%'";
    wait_until("the end of the server's process", || number(&mut admin, gone) == 0);
}

#[test]
fn a_batch_of_one_row_has_the_time_of_other_answers_where_ten_seconds_are_too_little() {
    let db = seeded();
    db.admin()
        .batch_execute(
            "delete from public.user_sessions where session_id not in ('old1', 'old2');
             create function public.slow() returns trigger language plpgsql as
               'begin if old.session_id = ''old1'' then perform pg_sleep(14); end if; return old; end';
             create trigger slow before delete on public.user_sessions for each row execute function public.slow()",
        )
        .unwrap();
    let run = db.sessctl(&["cleanup", "--batch-size", "1", "--format", "json"]).ok();
    assert_eq!(run.json()["deleted"], Value::from(2));
}
