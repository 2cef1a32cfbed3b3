//! The path of a sandbox's folder: in the folder for temporary files, and one that the server and its clients can work
//! with.

use std::path::{Path, PathBuf};

use super::guarded::secret;
use crate::failure::Failure;

/// The longest path of a socket that every system allows, in bytes.
const MAX_SOCKET_PATH: usize = 103;

/// The longest name of a socket in the folder.
const SOCKET: &str = ".s.PGSQL.65535";

/// A path that does not exist yet.
pub(super) fn path() -> anyhow::Result<PathBuf> {
    let parent = std::path::absolute(std::env::temp_dir())?;
    let dir = parent.join(format!("sessctl-{}", &secret()?[..12]));
    if let Some(reason) = fault(&parent, &dir) {
        return Err(unusable(&dir, &reason).into());
    }
    Ok(dir)
}

/// Why the folder can't be used, if so.
fn fault(parent: &Path, dir: &Path) -> Option<String> {
    let socket = dir.join(SOCKET).as_os_str().len();
    if dir.to_str().is_none() {
        Some("its path is not UTF-8".into())
    } else if parent.as_os_str().as_encoded_bytes().contains(&b',') {
        Some("its path has a comma, which ends the path of a socket in a connection string".into())
    } else if socket > MAX_SOCKET_PATH {
        let excess = socket - MAX_SOCKET_PATH;
        Some(format!("its path is {excess} bytes too long for a socket"))
    } else if !parent.is_dir() {
        Some("there is no such folder".into())
    } else {
        None
    }
}

/// The folder for temporary files is of no use to a sandbox.
pub(super) fn unusable(dir: &Path, reason: &str) -> Failure {
    let parent = dir.parent().unwrap_or(dir).display();
    Failure::usage(format!("can't start a sandbox in {parent}: {reason}"))
        .hint("set TMPDIR to another folder, for example /tmp")
}
