//! Programs that run beside a test, and waiting for what must come.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use super::Run;

/// How long to wait for an event that must come. It measures nothing: a test reaches it only when the event never comes.
const LIMIT: Duration = Duration::from_secs(120);

/// Waits until `look` finds something.
#[track_caller]
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_within(LIMIT, what, look)
}

/// [`wait_for`] what was promised: the limit is a multiple of the promise.
#[track_caller]
pub fn wait_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "this never came: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a condition holds.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || holds().then_some(()));
}

/// Sends a signal, as in `kill -TERM`.
#[track_caller]
pub fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

/// A program that was started. It is killed with the value.
pub struct Running {
    child: Child,
    stdout: NamedTempFile,
    stderr: NamedTempFile,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        // Files, not pipes: they never fill, and what is there can be read at any time.
        let [stdout, stderr] = [(); 2].map(|()| NamedTempFile::new().unwrap());
        let child = command
            .stdin(Stdio::null())
            .stdout(stdout.reopen().unwrap())
            .stderr(stderr.reopen().unwrap())
            .spawn()
            .unwrap();
        Self { child, stdout, stderr }
    }

    #[track_caller]
    pub fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }

    /// Waits until it has written `text` to standard error.
    #[track_caller]
    pub fn wait_to_say(&mut self, text: &str) {
        let what = format!("{text:?} on standard error");
        wait_until(&what, || {
            let ended = self.child.try_wait().unwrap().is_some();
            let said = fs::read_to_string(&self.stderr).unwrap();
            assert!(!ended || said.contains(text), "it ended without {text:?}: {said}");
            said.contains(text)
        });
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(self) -> Run {
        self.end_within(LIMIT)
    }

    /// Waits for an end that was promised: the limit is a multiple of the promise.
    #[track_caller]
    pub fn end_within(mut self, limit: Duration) -> Run {
        let status = wait_within(limit, "the end of the program", || self.child.try_wait().unwrap());
        let run = Run {
            code: status.code().unwrap_or(-1),
            stdout: fs::read_to_string(&self.stdout).unwrap(),
            stderr: fs::read_to_string(&self.stderr).unwrap(),
        };
        assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
        run
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
