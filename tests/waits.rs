//! Every wait has an end: on signals, in time limits, and on the server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use sessctl::sandbox::Grants;

use crate::common::running::{Running, signal, wait_for, wait_until};
use crate::common::{Db, number, sessctl};

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
    let script = format!("#!/bin/sh\necho $$ > '{}/pid'\nexec sleep 60\n", dir.path().display());
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

/// A cleanup whose batch never ends, since the server's process stands still in its middle; the process's id.
fn standing_still(arguments: &[&str]) -> (Db, Running, u32) {
    let db = Db::migrated(Grants::Closed);
    db.client()
        .batch_execute(
            "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform, status, ended_at)
             select '00000000-0000-4000-8000-000000000001', n::text, 'web', 'ended', now() - interval '1 year'
             from generate_series(1, 100) n;
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
    let json = run.ok().json();
    assert_eq!((&json["deleted"], &json["left"]), (&0.into(), &serde_json::Value::Null));
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
