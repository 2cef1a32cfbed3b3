//! promtool, of Debian's package prometheus.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use super::{Run, clean, not_run};

/// Runs it with a text on standard input. Absent, and said aloud, where there is none.
pub fn promtool(what: &str, arguments: &[&str], folder: &Path, input: &str) -> Option<Run> {
    let mut command = clean("promtool");
    command.args(arguments).current_dir(folder).stdin(Stdio::piped());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        not_run(&format!("{what}: there is no promtool (make test-server)"));
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    Some(Run {
        code: out.status.code().unwrap_or(-1),
        stdout: String::from_utf8(out.stdout).unwrap(),
        stderr: String::from_utf8(out.stderr).unwrap(),
    })
}
