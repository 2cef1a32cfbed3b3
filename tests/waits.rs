//! Every wait has an end: on signals, in time limits, and on the server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::common::running::{Running, wait_for, wait_until};
use crate::common::sessctl;

/// Three times the five seconds within which a signal ends the program.
const AFTER_A_SIGNAL: Duration = Duration::from_secs(15);

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
