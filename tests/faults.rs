//! What goes wrong in the middle of a run: the count is always what the table says, and nothing is done twice.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use postgres::{Client, NoTls};
use serde_json::Value;
use sessctl::sandbox::{Grants, Options, Sandbox};

use crate::common::fake_server::{FakeServer, Manner, POOLER_REFUSALS};
use crate::common::proxy::Proxy;
use crate::common::running::{Running, signal, wait_for, wait_until};
use crate::common::{Db, Run, block_on, number, sessctl, sessctl_on};

/// Sessions of [`seed`] that a sweep ends, and as many that a cleanup deletes.
const DUE: i64 = 3_000;

const SWEEP: [&str; 5] = ["end-inactive", "--batch-size", "100", "--format", "json"];
const CLEANUP: [&str; 5] = ["cleanup", "--batch-size", "100", "--format", "json"];

/// Both commands, with the key of the count and the SQL that counts what was done.
const BOTH_COMMANDS: [(&[&str], &str, &str); 2] = [
    (
        &SWEEP,
        "ended",
        "select count(*) from public.user_sessions where status = 'timeout'",
    ),
    (
        &CLEANUP,
        "deleted",
        "select 4000 - count(*) from public.user_sessions where session_id like 'old%'",
    ),
];

/// 500 users; 3,000 sessions ended a year ago and 1,000 yesterday; 3,000 silent for hours and 1,000 at work. Those ended
/// come first, so that the first batches of a cleanup find some whatever way it goes.
const SEED: &str = "
  insert into auth.users (id) select gen_random_uuid() from generate_series(1, 500);
  with u as (select id, row_number() over () as n from auth.users)
  insert into public.user_sessions (user_id, session_id, platform, status, end_reason, started_at, ended_at)
  select u.id, 'old' || i, 'web', 'ended', 'logout', now() - interval '2 years',
    case when i <= 3000 then now() - interval '1 year' - i * interval '1 minute' else now() - interval '1 day' end
  from generate_series(1, 4000) i join u on u.n = i % 500 + 1;
  with u as (select id, row_number() over () as n from auth.users)
  insert into public.user_sessions (user_id, session_id, platform, last_heartbeat_at)
  select u.id, 'new' || i, 'web', now() - case when i <= 3000 then interval '5 hours' else '1 minute' end
  from generate_series(1, 4000) i join u on u.n = i % 500 + 1;
  analyze public.user_sessions";

fn seeded() -> Db {
    let db = Db::migrated(Grants::Closed);
    db.admin().batch_execute(SEED).unwrap();
    db
}

fn through(proxy: &Proxy, db: &Db, arguments: &[&str]) -> Command {
    sessctl_on(proxy.url(&db.name), arguments)
}

#[track_caller]
fn assert_counts(run: &Run, key: &str, table: i64) {
    assert_eq!(
        run.json()[key],
        Value::from(table),
        "the count is not what the table says: {} {}",
        run.stdout,
        run.stderr
    );
}

/// Has the server refuse with this SQLSTATE the batches whose number, counting all attempts, fits the condition on `n`.
fn refuse(db: &Db, code: &str, condition: &str) {
    let sql = format!(
        "create sequence public.attempt;
         create function public.refuse() returns trigger language plpgsql security definer as $$
         declare n constant bigint := nextval('public.attempt');
         begin
           if {condition} then raise exception 'refused' using errcode = '{code}'; end if;
           return null;
         end $$;
         create trigger refuse before update or delete on public.user_sessions execute function public.refuse()"
    );
    db.admin().batch_execute(&sql).unwrap();
}

/// Slow enough for a signal or a fault to come in the middle: each row takes a while.
fn slow_down(db: &Db, seconds_a_row: f64) {
    let sql = format!(
        "create function public.slow() returns trigger language plpgsql as
           $$ begin perform pg_sleep({seconds_a_row}); return coalesce(new, old); end $$;
         create trigger slow before update or delete on public.user_sessions for each row execute function public.slow()"
    );
    db.admin().batch_execute(&sql).unwrap();
}

/// Both commands, each on a connection with one cut: every session is done once and counted once.
fn one_cut_costs_nothing(cut: impl Fn(&Proxy)) {
    for (arguments, key, done) in BOTH_COMMANDS {
        let (db, proxy) = (seeded(), Proxy::to_the_server());
        cut(&proxy);
        let run = Run::of(&mut through(&proxy, &db, arguments)).ok();
        assert_eq!(proxy.cuts_made(), 1);
        assert_eq!(number(&mut db.admin(), done), DUE);
        assert_counts(&run, key, DUE);
    }
}

#[test]
fn a_connection_cut_before_a_commit_costs_that_batch_alone_and_the_count_is_right() {
    for nth in [1, 7] {
        one_cut_costs_nothing(|proxy| proxy.cut_before("commit", nth));
    }
}

#[test]
fn a_commit_whose_answer_was_lost_is_counted_once() {
    for nth in [1, 7] {
        one_cut_costs_nothing(|proxy| proxy.cut_after("commit", nth));
    }
}

#[test]
fn the_last_commit_may_be_in_doubt_too() {
    // The last one closes the record, and waits for the disk.
    for (arguments, key, done) in BOTH_COMMANDS {
        let (db, proxy) = (seeded(), Proxy::to_the_server());
        let batches = Run::of(&mut through(&proxy, &seeded(), arguments)).ok().json()["batches"]
            .as_u64()
            .unwrap();
        let commits = proxy.connections()[0]
            .messages
            .iter()
            .filter(|m| m.sql().contains("commit"))
            .count();
        assert!(batches > 20 && commits > 20, "{batches} batches, {commits} commits");
        proxy.cut_after("commit", commits);
        let run = Run::of(&mut through(&proxy, &db, arguments)).ok();
        assert_eq!(proxy.cuts_made(), 1);
        assert_eq!(number(&mut db.admin(), done), DUE);
        assert_counts(&run, key, DUE);
    }
}

#[test]
fn a_connection_cut_during_a_batch_is_no_loss() {
    one_cut_costs_nothing(|proxy| proxy.cut_before("_step(", 5));
    one_cut_costs_nothing(|proxy| proxy.cut_after("_step(", 5));
}

#[test]
fn a_run_whose_connection_is_cut_every_time_gives_up_and_claims_nothing_that_was_rolled_back() {
    let (db, proxy) = (seeded(), Proxy::to_the_server());
    proxy.cut_before_each("_step(", 1_000);
    let run = Run::of(through(&proxy, &db, &SWEEP).args(["--max-retries", "2"])).exits(3);
    assert_eq!(proxy.cuts_made(), 3, "one try and two more: {}", run.stderr);
    assert_eq!(number(&mut db.admin(), BOTH_COMMANDS[0].2), 0);
    assert!(
        !run.stderr.contains("had been ended"),
        "it claims what was rolled back: {}",
        run.stderr
    );
}

#[test]
fn giving_up_says_what_the_table_says() {
    for (cut_before, nth) in [(true, 3), (false, 3)] {
        let (db, proxy) = (seeded(), Proxy::to_the_server());
        match cut_before {
            true => proxy.cut_before("commit", nth),
            false => proxy.cut_after("commit", nth),
        }
        let run = Run::of(through(&proxy, &db, &SWEEP).args(["--max-retries", "0"])).exits(3);
        let table = number(&mut db.admin(), BOTH_COMMANDS[0].2);
        run.says(&format!("{table} sessions had been ended before"));
    }
}

#[test]
fn backends_terminated_at_random_moments_leave_the_count_right() {
    for (arguments, key, done) in BOTH_COMMANDS {
        let db = seeded();
        slow_down(&db, 0.0003);
        let over = AtomicBool::new(false);
        let (run, ended) = thread::scope(|scope| {
            let killer = scope.spawn(|| {
                let mut admin = crate::common::admin("postgres");
                let mut ended = 0;
                let sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                           where datname = $1 and application_name like 'sessctl/%'";
                for round in 0_u64.. {
                    // A fixed sequence of uneven pauses, some of them too long for a retry to run dry. They grow: a slow machine gets
                    // to the end too.
                    thread::sleep(Duration::from_millis(150 + round * 37 % 190 + round * 10));
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    ended += admin.query_one(sql, &[&db.name]).unwrap().get::<_, i64>(0);
                }
                ended
            });
            let run = Run::of(db.command(arguments).args(["--max-retries", "50"]));
            over.store(true, Ordering::Relaxed);
            (run, killer.join().unwrap())
        });
        let run = run.ok();
        assert!(ended >= 2, "only {ended} backends were terminated");
        assert_eq!(number(&mut db.admin(), done), DUE);
        assert_counts(&run, key, DUE);
    }
}

#[test]
fn a_server_that_crashes_takes_no_count_with_it() {
    // Commits that do not wait for the disk are lost with a crash: the log's writer is told to take its time.
    let own = OwnServer::start(&["wal_writer_delay=10s", "wal_writer_flush_after=100MB"]);
    for command in BOTH_COMMANDS {
        own.survives(command, |own| {
            let mut victim = own.admin();
            let pid: i32 = victim.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
            signal("-KILL", pid.unsigned_abs());
        });
    }
}

#[test]
fn a_server_restarted_in_the_middle_is_waited_for() {
    let own = OwnServer::start(&[]);
    for command in BOTH_COMMANDS {
        own.survives(command, |own| own.pg_ctl(&["restart", "-m", "fast"]));
    }
}

/// A server for one test alone, which may be crashed and restarted.
struct OwnServer {
    sandbox: Sandbox,
}

impl OwnServer {
    fn start(settings: &[&str]) -> Self {
        let mut options = Options {
            settings: vec!["shared_preload_libraries=".into()],
            ..Options::default()
        };
        options.settings.extend(settings.iter().map(ToString::to_string));
        let own = Self {
            sandbox: block_on(Sandbox::start(&options)).unwrap(),
        };
        Run::of(sessctl().env("DATABASE_URL", own.sandbox.url()).arg("migrate")).ok();
        own
    }

    fn admin(&self) -> Client {
        wait_for("a server that takes connections", || {
            Client::connect(&self.sandbox.admin("postgres"), NoTls).ok()
        })
    }

    /// A restart repeats the command line that the server was started with.
    fn pg_ctl(&self, arguments: &[&str]) {
        let data = self.sandbox.dir().join("data");
        let owner = std::fs::metadata(&data).unwrap();
        let mut command = Command::new(self.sandbox.bindir().join("pg_ctl"));
        command
            .arg("-D")
            .arg(&data)
            .args(["-w", "-s"])
            .args(arguments)
            .current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() != owner.uid()) {
            command.uid(owner.uid()).gid(owner.gid());
        }
        assert!(command.status().unwrap().success(), "pg_ctl {arguments:?}");
    }

    /// Runs a command, does `harm` in the middle, and expects that the count is what the table says in the end.
    fn survives(&self, (arguments, key, done): (&[&str], &str, &str), harm: impl Fn(&Self)) {
        self.admin()
            .batch_execute("truncate public.user_sessions; delete from auth.users")
            .unwrap();
        self.admin().batch_execute(SEED).unwrap();
        let proxy = Proxy::start(self.sandbox.port());
        let options = ["--pause", "10ms", "--max-retries", "20"];
        let url = proxy.url_as("postgres", self.sandbox.password(), "postgres");
        let child = Running::start(sessctl_on(url, &[arguments, &options].concat()));
        proxy.wait_for("commit", 8);
        let before = number(&mut self.admin(), done);
        harm(self);
        assert!(before > 0, "the fault came before the first batch");
        let run = child.end().ok();
        assert!(
            run.stderr.contains("lost the connection"),
            "nothing happened in the middle: {}",
            run.stderr
        );
        assert_eq!(number(&mut self.admin(), done), DUE);
        assert_counts(&run, key, DUE);
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // A restarted server is no child of the sandbox's guard, which knows only the first one.
        if self.sandbox.dir().join("data/postmaster.pid").exists() {
            self.pg_ctl(&["stop", "-m", "immediate"]);
        }
    }
}

#[test]
fn two_runs_at_once_do_each_session_once() {
    for (arguments, key, done) in BOTH_COMMANDS {
        let db = seeded();
        slow_down(&db, 0.0001);
        let running: Vec<Running> = (0..2).map(|_| Running::start(db.command(arguments))).collect();
        let runs: Vec<Run> = running.into_iter().map(|run| run.end().ok()).collect();
        let total: i64 = runs.iter().map(|run| run.json()[key].as_i64().unwrap()).sum();
        assert_eq!(total, number(&mut db.admin(), done), "{runs:?}");
        assert_eq!(total, DUE, "{runs:?}");
    }
}

#[test]
fn a_second_run_at_its_start_says_that_another_is_running() {
    for (lock, (arguments, key, _)) in [2, 3].into_iter().zip(BOTH_COMMANDS) {
        let db = seeded();
        let mut other = db.admin();
        other
            .batch_execute(&format!("begin; select pg_advisory_xact_lock(1936028531, {lock})"))
            .unwrap();
        let run = db.sessctl(arguments).ok();
        assert_eq!(run.json()["skipped"], true);
        assert_counts(&run, key, 0);
        db.sessctl(&arguments[..1]).ok().says("another run is running");
    }
}

#[test]
fn a_signal_stops_a_run_after_its_batch_and_the_count_is_right() {
    for (arguments, key, done) in BOTH_COMMANDS {
        for signal in ["-INT", "-TERM"] {
            let (db, proxy) = (seeded(), Proxy::to_the_server());
            slow_down(&db, 0.0005);
            let child = Running::start(through(&proxy, &db, arguments));
            proxy.wait_for("commit", 4);
            child.signal(signal);
            let run = child.end().exits(130);
            let table = number(&mut db.admin(), done);
            assert!(table > 0 && table < DUE, "{table} of {DUE}");
            assert_eq!(run.json()["interrupted"], true);
            assert_counts(&run, key, table);
        }
    }
}

#[test]
fn a_signal_cancels_a_batch_that_takes_over_a_second() {
    let (db, proxy) = (seeded(), Proxy::to_the_server());
    slow_down(&db, 0.2);
    let child = Running::start(through(&proxy, &db, &SWEEP));
    db.wait_for_process("wait_event = 'PgSleep'");
    child.signal("-INT");
    let run = child.end().exits(130);
    assert!(proxy.errors().contains(&"57014".into()), "nothing was cancelled");
    assert_eq!(run.json()["interrupted"], true);
    assert_counts(&run, "ended", number(&mut db.admin(), BOTH_COMMANDS[0].2));
}

#[test]
fn a_signal_ends_the_wait_for_a_server_that_is_gone() {
    let (db, proxy) = (seeded(), Proxy::to_the_server());
    proxy.cut_before("commit", 5);
    let child = Running::start(through(&proxy, &db, &[&SWEEP[..], &["--max-retries", "30"]].concat()));
    proxy.wait_for("commit", 1);
    proxy.refuse_new(true);
    // The pauses double: the one after this lasts for over a second.
    proxy.wait_for_refusals(5);
    let tried = proxy.refusals();
    child.signal("-INT");
    child.end().exits(130);
    assert_eq!(proxy.refusals(), tried, "it tried again after the signal");
}

#[test]
fn a_signal_and_a_lost_connection_together_count_no_batch_that_was_rolled_back() {
    let (db, proxy) = (seeded(), Proxy::to_the_server());
    slow_down(&db, 0.005);
    // The signal comes within the third batch, which takes half a second; its answer is then lost.
    proxy.cut_after("_step(", 3);
    let child = Running::start(through(&proxy, &db, &SWEEP));
    proxy.wait_for("_step(", 3);
    child.signal("-INT");
    let run = child.end().exits(130);
    assert_eq!(proxy.cuts_made(), 1);
    let table = number(&mut db.admin(), BOTH_COMMANDS[0].2);
    assert_counts(&run, "ended", table);
    assert!(table < DUE, "the run continued");
}

#[test]
fn a_deadlock_with_users_being_deleted_is_tried_again() {
    let (db, proxy) = (seeded(), Proxy::to_the_server());
    slow_down(&db, 0.005);
    let mut other = db.admin();
    // Rows of the first batch, in the order in which it takes them. The other side holds a late one, and deletes the user of
    // an early one once the batch has that. Only a session that has waited for deadlock_timeout looks for a deadlock, so
    // the other's long one makes ours the victim.
    let sql = "select session_id from public.user_sessions
        where status = 'active' and last_heartbeat_at < now() - interval '1 hour' order by ctid limit 60";
    let rows = other.query(sql, &[]).unwrap();
    let (early, late): (String, String) = (rows[1].get(0), rows[55].get(0));
    db.admin()
        .batch_execute(&format!("alter database {} set deadlock_timeout = '10ms'", db.name))
        .unwrap();
    other.batch_execute("set deadlock_timeout = '1h'; begin").unwrap();
    other
        .execute(
            "update public.user_sessions set activity_count = 1 where session_id = $1",
            &[&late],
        )
        .unwrap();
    let child = Running::start(through(
        &proxy,
        &db,
        &[
            "end-inactive",
            "--batch-size",
            "100",
            "--format",
            "json",
            "--max-retries",
            "9",
        ],
    ));
    proxy.wait_for("_step(", 1);
    thread::sleep(Duration::from_millis(100));
    let sql = "delete from auth.users where id = (select user_id from public.user_sessions where session_id = $1)";
    let deleted = other.execute(sql, &[&early]);
    other.batch_execute("rollback").unwrap();
    let run = child.end().ok();
    assert!(deleted.is_ok(), "{deleted:?}");
    let errors = proxy.errors();
    assert!(errors.contains(&"40P01".into()), "no deadlock came about: {errors:?}");
    assert_counts(&run, "ended", number(&mut db.admin(), BOTH_COMMANDS[0].2));
    assert_counts(&run, "ended", DUE);
}

#[test]
fn a_serialization_failure_is_tried_again_as_often_as_asked_for() {
    for (arguments, key, done) in BOTH_COMMANDS {
        let db = seeded();
        refuse(&db, "40001", "n between 3 and 5");
        let run = db.sessctl(&[arguments, &["--max-retries", "2"]].concat()).exits(3);
        let table = number(&mut db.admin(), done);
        run.says(&format!("refused; {table} sessions had been {key} before"))
            .says("run it again");
        assert_eq!(number(&mut db.admin(), "select last_value from public.attempt"), 5);

        let db = seeded();
        refuse(&db, "40001", "n between 3 and 5");
        let run = db.sessctl(&[arguments, &["--max-retries", "3"]].concat()).ok();
        assert_eq!(number(&mut db.admin(), done), DUE);
        assert_counts(&run, key, DUE);
    }
}

#[test]
fn a_server_out_of_disk_is_asked_once_and_what_was_done_before_stays() {
    for (arguments, key, done) in BOTH_COMMANDS {
        let db = seeded();
        refuse(&db, "53100", "n > 3");
        let run = db.sessctl(arguments).exits(3);
        let table = number(&mut db.admin(), done);
        assert!(table > 0 && table < DUE, "{table} of {DUE}");
        run.says("the server has no room left")
            .says(&format!("{table} sessions had been {key} before, and stay so"));
        assert_eq!(number(&mut db.admin(), "select last_value from public.attempt"), 4);
    }
}

#[test]
fn a_pause_is_kept_between_two_batches_and_a_signal_ends_it() {
    for (arguments, key, done) in BOTH_COMMANDS {
        let db = seeded();
        let arguments = [arguments[0], "--batch-size", "1000", "--format", "json", "--pause"];
        let run = db.sessctl(&[&arguments[..], &["10ms"]].concat()).ok();
        assert_counts(&run, key, DUE);
        assert!(run.json()["batches"].as_u64().unwrap() >= 3, "{}", run.stdout);

        let db = seeded();
        let child = Running::start(db.command(&[&arguments[..], &["1h"]].concat()));
        let mut admin = db.admin();
        wait_until("a batch", || number(&mut admin, done) > 0);
        child.signal("-TERM");
        let run = child.end().exits(130);
        assert_counts(&run, key, number(&mut admin, done));
        assert_eq!(run.json()["interrupted"], Value::from(true));
        assert_eq!(run.json()["batches"], 1, "the pause was not kept");
    }
}

#[test]
fn a_batch_that_runs_into_statement_timeout_is_halved() {
    for (arguments, key, done) in BOTH_COMMANDS {
        let (db, proxy) = (seeded(), Proxy::to_the_server());
        slow_down(&db, 0.0005);
        db.admin()
            .batch_execute(&format!(
                "alter role postgres in database {} set statement_timeout = '120ms'",
                db.name
            ))
            .unwrap();
        let arguments = [arguments[0], "--batch-size", "1000", "--format", "json"];
        let run = Run::of(&mut through(&proxy, &db, &arguments)).ok();
        let errors = proxy.errors();
        assert!(errors.contains(&"57014".into()), "no timeout came about: {errors:?}");
        assert_eq!(number(&mut db.admin(), done), DUE);
        assert_counts(&run, key, DUE);
        // Halving twice or thrice finds the size; growing into the timeout again and again wastes every other batch.
        let batches = run.json()["batches"].as_u64().unwrap();
        assert!(
            errors.len() as u64 <= 3 + batches / 10,
            "{} timeouts in {batches} batches",
            errors.len()
        );
    }
}

#[test]
fn a_read_only_server_is_a_clear_error() {
    let db = seeded();
    db.admin()
        .batch_execute(&format!(
            "alter database {} set default_transaction_read_only = on",
            db.name
        ))
        .unwrap();
    for (arguments, _, _) in BOTH_COMMANDS {
        let run = db.sessctl(arguments).exits(3).says("takes no writes");
        assert_eq!(run.stdout, "");
    }
    db.sessctl(&["summary"]).ok();
}

#[test]
fn a_wrong_password_is_tried_once() {
    let (db, proxy) = (seeded(), Proxy::to_the_server());
    for (arguments, _, _) in BOTH_COMMANDS {
        let before = proxy.connections().len();
        let url = proxy.url_as("postgres", "hunter2secret", &db.name);
        let run = Run::of(sessctl().env("DATABASE_URL", url).args(arguments)).exits(3);
        assert!(run.stderr.contains("password authentication failed"), "{}", run.stderr);
        assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
        assert_eq!(proxy.connections().len() - before, 1);
    }
}

#[test]
fn a_password_changed_in_the_middle_is_tried_once() {
    // A login role of its own: the password of postgres belongs to all tests.
    let (db, proxy) = (seeded(), Proxy::to_the_server());
    let role = format!("operator_{}", db.name);
    db.admin()
        .batch_execute(&format!(
            "create role {role} login bypassrls password 'before' in role postgres inherit"
        ))
        .unwrap();
    proxy.cut_before("commit", 3);
    let url = proxy.url_as(&role, "before", &db.name);
    let child = Running::start(sessctl_on(url, &[&SWEEP[..], &["--pause", "100ms"]].concat()));
    proxy.wait_for("commit", 1);
    db.admin()
        .batch_execute(&format!("alter role {role} password 'after'"))
        .unwrap();
    let run = child.end();
    db.admin().batch_execute(&format!("drop role {role}")).unwrap();
    let run = run.exits(3);
    assert!(run.stderr.contains("password authentication failed"), "{}", run.stderr);
    assert_eq!(
        proxy.connections().len(),
        2,
        "one that worked, one that was refused: {}",
        run.stderr
    );
}

#[test]
fn a_pooler_that_refuses_is_asked_once_and_its_words_are_shown() {
    for (code, message) in POOLER_REFUSALS {
        let server = FakeServer::refusing(code, message);
        for command in ["migrate", "end-inactive", "cleanup", "summary"] {
            let before = server.connections();
            let run = Run::of(sessctl().env("DATABASE_URL", server.url()).arg(command)).exits(3);
            assert!(run.stderr.contains(message), "{}", run.stderr);
            assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
            assert_eq!(server.connections() - before, 1, "{command}: {message}");
        }
    }
}

#[test]
fn a_server_that_says_nothing_or_hangs_up_is_an_error_in_time() {
    for (manner, parameter) in [(Manner::Silence, "?connect_timeout=1"), (Manner::Close, "")] {
        let server = FakeServer::start(manner);
        let child = Running::start(sessctl_on(server.url() + parameter, &["summary"]));
        child.end().exits(3).says(&format!("127.0.0.1:{}", server.port()));
    }
}

#[test]
fn idle_commands_cost_one_round_trip() {
    let (db, proxy) = (Db::migrated(Grants::Closed), Proxy::to_the_server());
    for (command, most) in [
        ("end-inactive", 1),
        ("cleanup", 1),
        ("summary", 1),
        ("migrate", 3),
        ("verify", 2),
    ] {
        Run::of(&mut through(&proxy, &db, &[command])).ok();
        let trips = proxy.round_trips();
        assert!(
            (1..=most).contains(&trips),
            "{command}: {trips} round trips, at most {most} are due"
        );
    }
}

#[test]
fn no_command_leaves_state_on_its_connection() {
    let db = Db::fresh(Grants::Closed);
    let proxy = Proxy::to_the_server();
    Run::of(&mut through(&proxy, &db, &["migrate"])).ok();
    db.admin().batch_execute(SEED).unwrap();
    for arguments in [
        &SWEEP[..],
        &CLEANUP,
        &["end-inactive", "--dry-run"],
        &["summary"],
        &["migrate"],
        &["verify"],
        &["status"],
    ] {
        Run::of(&mut through(&proxy, &db, arguments)).ok();
    }
    assert_eq!(proxy.connections().len(), 8);
    proxy.assert_fit_for_a_transaction_pooler();
}

#[test]
fn what_a_run_counts_is_on_disk_when_it_ends() {
    // Nothing but a commit flushes here, for as long as the test takes.
    let options = Options {
        settings: ["wal_writer_delay=10s", "bgwriter_delay=10s"].map(String::from).into(),
        ..Options::default()
    };
    let sandbox = block_on(Sandbox::start(&options)).unwrap();
    Run::of(sessctl().env("DATABASE_URL", sandbox.url()).arg("migrate")).ok();
    let mut admin = Client::connect(&sandbox.admin("postgres"), NoTls).unwrap();
    admin.batch_execute(SEED).unwrap();
    for (arguments, key, _) in BOTH_COMMANDS {
        // It stops after a batch whose commit was not flushed.
        let run = Run::of(
            sessctl()
                .env("DATABASE_URL", sandbox.url())
                .args(arguments)
                .args(["--max-runtime", "1ms"]),
        )
        .ok();
        assert!(run.json()[key].as_u64().unwrap() > 0);
        let unflushed = "select (pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn())::int8";
        // A hundred rows leave more than that; a note of the server's own leaves less.
        assert!(
            number(&mut admin, unflushed) < 1000,
            "{key}: {}",
            number(&mut admin, unflushed)
        );
    }
}

#[test]
fn a_table_that_is_rewritten_under_a_sweep_is_swept_to_the_end() {
    let (db, proxy) = (seeded(), Proxy::to_the_server());
    // Room in front, so that every row gets another place.
    db.admin()
        .batch_execute("delete from public.user_sessions where session_id like 'old%'")
        .unwrap();
    let child = Running::start(through(&proxy, &db, &[&SWEEP[..], &["--pause", "100ms"]].concat()));
    proxy.wait_for("commit", 4);
    db.admin().batch_execute("vacuum full public.user_sessions").unwrap();
    let run = child.end().ok();
    assert_counts(&run, "ended", DUE);
}

#[test]
fn a_locked_table_is_not_waited_for_without_end_and_the_holder_is_named() {
    let db = seeded();
    let mut other = db.client();
    other
        .batch_execute("drop table sessctl.schema_history; begin; lock table public.user_sessions")
        .unwrap();
    let pid = number(&mut other, "select pg_backend_pid()::bigint");
    for arguments in [
        &["summary"][..],
        &["end-inactive", "--max-retries", "1"],
        &["cleanup", "--max-retries", "1"],
        &["migrate"],
        &["verify"],
    ] {
        db.sessctl(arguments)
            .exits(3)
            .says("lock timeout")
            .says(&format!("process {pid} holds the table"));
    }
}

#[test]
fn of_several_lock_holders_the_one_in_the_way_is_named() {
    let db = seeded();
    let (mut reader, mut holder) = (db.client(), db.client());
    let (mut reading, mut holding) = (reader.transaction().unwrap(), holder.transaction().unwrap());
    reading
        .batch_execute("select from public.user_sessions limit 1")
        .unwrap();
    holding
        .batch_execute("lock table public.user_sessions in exclusive mode")
        .unwrap();
    let pid: i32 = holding.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    db.sessctl(&["end-inactive", "--max-retries", "0"])
        .exits(3)
        .says(&format!("process {pid} holds the table"));
}

#[test]
fn a_lock_that_goes_in_time_costs_nothing_but_time() {
    let db = seeded();
    for (arguments, key, done) in BOTH_COMMANDS {
        let proxy = Proxy::to_the_server();
        let mut holder = db.client();
        let mut holding = holder.transaction().unwrap();
        holding
            .batch_execute("lock table public.user_sessions in exclusive mode")
            .unwrap();
        let child = Running::start(through(&proxy, &db, arguments));
        proxy.wait_for_error("55P03");
        holding.rollback().unwrap();
        let run = child.end().ok();
        assert_eq!(number(&mut db.admin(), done), DUE);
        assert_counts(&run, key, DUE);
    }
}

#[test]
fn slow_rows_make_small_batches_whatever_the_ceiling() {
    let db = seeded();
    slow_down(&db, 0.001);
    let run = db
        .sessctl(&["end-inactive", "--batch-size", "1000000", "--format", "json"])
        .ok();
    assert_counts(&run, "ended", DUE);
    // A thousand at first, which takes a second at least; then no more than the least.
    let batches = run.json()["batches"].as_u64().unwrap();
    assert!(batches >= 4, "{batches} batches");
}

#[test]
fn a_run_out_of_time_says_how_many_are_left() {
    let db = seeded();
    for (arguments, key, done) in BOTH_COMMANDS {
        let run = db.sessctl(&[arguments, &["--max-runtime", "1ms"]].concat()).ok();
        let count = number(&mut db.admin(), done);
        assert_counts(&run, key, count);
        assert!(count > 0 && count < DUE, "{count}");
        assert_eq!(run.json()["left"], Value::from(DUE - count));
    }
}

#[test]
fn a_signal_stops_a_command_that_connects_or_waits() {
    let silent = FakeServer::start(Manner::Silence);
    for arguments in [&["summary"][..], &["end-inactive"], &["migrate"]] {
        let before = silent.connections();
        let child = Running::start(sessctl_on(silent.url(), arguments));
        wait_until("a connection", || silent.connections() > before);
        child.signal("-TERM");
        child.end().exits(130).says("stopped");
    }
    let (db, proxy) = (seeded(), Proxy::to_the_server());
    // Between two attempts nearly all of the time passes.
    proxy.refuse_new(true);
    let child = Running::start(through(&proxy, &db, &["end-inactive", "--wait", "1h"]));
    proxy.wait_for_refusals(3);
    child.signal("-TERM");
    child.end().exits(130).says("stopped");
    proxy.refuse_new(false);
    let mut holder = db.client();
    holder.batch_execute("begin; lock table public.user_sessions").unwrap();
    for command in ["summary", "verify", "doctor"] {
        let child = Running::start(through(&proxy, &db, &[command]));
        db.wait_for_process("wait_event_type = 'Lock'");
        child.signal("-INT");
        child.end().exits(130).says("stopped");
    }
    // What the server did for them goes with them.
    let waiting = format!(
        "select count(*) from pg_stat_activity where datname = '{}' and wait_event_type = 'Lock'",
        db.name
    );
    let mut admin = db.admin();
    wait_until("the end of the server's waits", || number(&mut admin, &waiting) == 0);
}

#[test]
fn a_table_locked_against_writes_alone_is_an_error_too() {
    let db = seeded();
    let mut holder = db.client();
    // As a plain create index does it: rows can still be locked.
    holder
        .batch_execute("begin; lock table public.user_sessions in share mode")
        .unwrap();
    for (arguments, _, _) in BOTH_COMMANDS {
        db.sessctl(&[arguments, &["--max-retries", "0"]].concat())
            .exits(3)
            .says("lock timeout");
    }
    let error = db
        .client()
        .batch_execute("select sessctl.end_inactive(60)")
        .unwrap_err();
    assert_eq!(error.code().unwrap().code(), "55P03");
}
