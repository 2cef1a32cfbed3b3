//! DuckDB and pyarrow from PyPI, in an environment of Python's below target.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::not_run;

/// A Python that has both. Absent, and said aloud, where they can't be installed.
pub fn python(what: &str) -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let python = PYTHON.get_or_init(install).as_deref();
    if python.is_none() {
        not_run(&format!("{what}: DuckDB and pyarrow can't be installed by python3"));
    }
    python
}

fn install() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/archive-readers");
    let python = folder.join("bin/python");
    let has_both = || succeeds(Command::new(&python).args(["-c", "import duckdb, pyarrow"]));
    if !has_both() {
        let made = succeeds(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "duckdb",
            "pyarrow",
        ];
        if !(made && succeeds(Command::new(&python).args(pip)) && has_both()) {
            return None;
        }
    }
    Some(python)
}

fn succeeds(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}
