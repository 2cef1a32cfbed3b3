//! Where the server's binaries are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::failure::Failure;

/// The environment variable that names the folder of the server's binaries.
const BINDIR_VARIABLE: &str = "SESSCTL_PG_BINDIR";

/// The oldest version that the schema works on.
const OLDEST: u32 = 15;

/// Where the server's binaries are: `given`, else [`BINDIR_VARIABLE`], else PATH and the places where packages put them.
pub(super) fn find_bindir(given: Option<&Path>) -> Result<PathBuf> {
    let named = given
        .map(Path::to_owned)
        .or_else(|| std::env::var_os(BINDIR_VARIABLE).map(PathBuf::from));
    if let Some(dir) = named {
        let dir = fs::canonicalize(&dir).unwrap_or(dir);
        if has_server(&dir) {
            return refuse_old(dir);
        }
        return Err(Failure::usage(format!("no postgres and initdb in {}", dir.display()))
            .hint(format!(
                "name the folder that holds both, by --pg-bindir or {BINDIR_VARIABLE}"
            ))
            .into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let from_path = std::env::split_paths(&path).collect::<Vec<_>>();
    let packaged = [
        "/usr/lib/postgresql",
        "/usr/pgsql-18",
        "/usr/pgsql-17",
        "/usr/pgsql-16",
        "/usr/pgsql-15",
        "/opt/homebrew/opt",
        "/usr/local/opt",
        "/Applications/Postgres.app/Contents/Versions",
    ];
    let packaged = packaged.iter().flat_map(|root| {
        let mut below: Vec<PathBuf> = fs::read_dir(root)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("bin"))
            .collect();
        // The newest version of each place first.
        below.sort_by(|a, b| b.cmp(a));
        below.push(Path::new(root).join("bin"));
        below
    });
    let asked = Command::new("pg_config").arg("--bindir").output().ok();
    let asked = asked.map(|out| PathBuf::from(String::from_utf8_lossy(&out.stdout).trim()));
    let found = from_path.into_iter().chain(packaged).chain(asked);
    let servers: Vec<PathBuf> = found
        .filter(|dir| has_server(dir))
        .map(|dir| behind_links(&dir).unwrap_or(dir))
        .collect();
    let new_enough = servers.iter().find(|dir| !is_old(dir)).cloned();
    match (new_enough, servers.into_iter().next()) {
        (Some(dir), _) => Ok(dir),
        (None, Some(old)) => refuse_old(old),
        (None, None) => Err(
            Failure::new("no PostgreSQL server is installed on this machine (initdb was not found)")
                .hint(format!(
                    "apt-get install postgresql, brew install postgresql@17 or dnf install postgresql-server; \
                     or name its folder of binaries by --pg-bindir or {BINDIR_VARIABLE}"
                ))
                .into(),
        ),
    }
}

/// The major version of a folder's server, where it says one.
fn major(dir: &Path) -> Option<u32> {
    let out = Command::new(dir.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    let version = text.strip_prefix("postgres (PostgreSQL) ")?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn is_old(dir: &Path) -> bool {
    major(dir).is_some_and(|major| major < OLDEST)
}

fn refuse_old(dir: PathBuf) -> Result<PathBuf> {
    match major(&dir) {
        Some(major) if major < OLDEST => Err(Failure::usage(format!(
            "PostgreSQL {major} in {} is too old for a sandbox",
            dir.display()
        ))
        .hint(format!(
            "install PostgreSQL {OLDEST} or newer, or name its folder of binaries by --pg-bindir or {BINDIR_VARIABLE}"
        ))
        .into()),
        _ => Ok(dir),
    }
}

/// The folder that a link to `postgres` leads to: the tools of that version are there, and not always linked too.
fn behind_links(dir: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(dir.join("postgres")).ok()?;
    real.parent().filter(|dir| has_server(dir)).map(Path::to_owned)
}

fn has_server(dir: &Path) -> bool {
    dir.join("postgres").is_file() && dir.join("initdb").is_file()
}
