//! What `make dist` has built, installed and run: `make dist && make test-packages`.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr, dead_code)]

#[path = "../common/mod.rs"]
mod common;

mod archive;
mod deb;
mod examples;
mod image;
mod npm;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::Run;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The folder of what was built.
fn dist() -> PathBuf {
    let folder = std::env::var_os("SESSCTL_DIST").map_or_else(|| Path::new(ROOT).join("target/dist"), PathBuf::from);
    assert!(
        folder.join("SHA256SUMS").is_file(),
        "nothing is built in {}: run make dist",
        folder.display()
    );
    folder
}

/// The file whose name begins and ends so.
fn built(start: &str, end: &str) -> PathBuf {
    let files = std::fs::read_dir(dist()).unwrap().map(|entry| entry.unwrap().path());
    let mut fitting: Vec<PathBuf> = files
        .filter(|file| {
            let name = file.file_name().unwrap().to_str().unwrap();
            name.starts_with(start) && name.ends_with(end)
        })
        .collect();
    fitting.sort();
    assert_eq!(fitting.len(), 1, "not one file {start}…{end}: {fitting:?}");
    fitting.remove(0)
}

/// The target that the archive is of.
fn target() -> String {
    let start = format!("sessctl-v{VERSION}-");
    let archive = built(&start, ".tar.gz");
    let name = archive.file_name().unwrap().to_str().unwrap();
    name.trim_start_matches(&start).trim_end_matches(".tar.gz").to_owned()
}

/// A folder for programs: the one for temporary files may be mounted noexec.
fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

/// What a shell command prints.
fn shell(folder: &Path, script: &str) -> String {
    Run::of(Command::new("sh").args(["-ec", script]).current_dir(folder))
        .ok()
        .stdout
}

/// All paths below a folder, without what they lie in.
fn tree(folder: &Path) -> Vec<String> {
    let listed = shell(folder, "find . -mindepth 1 ! -type d | sed 's|^./||' | LC_ALL=C sort");
    listed.lines().map(ToOwned::to_owned).collect()
}
