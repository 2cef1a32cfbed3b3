//! `sessctl sandbox`: a temporary PostgreSQL in a Supabase project's shape.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::Result;
use clap::Args as ClapArgs;
use serde::Serialize;
use tokio::process::{Child, Command};

use super::Context;
use crate::failure::{Failure, exit};
use crate::output::{Done, Page, Report};
use crate::sandbox::{Grants, Options, Sandbox};

/// How a sandbox is made, for every command that starts one.
#[derive(ClapArgs, Debug)]
pub struct Shape {
    /// Default privileges of projects made before (open) or since (closed) 30 May 2026
    #[arg(long, value_enum, default_value_t, value_name = "GRANTS")]
    grants: Grants,
    /// Folder of the server's binaries [env: SESSCTL_PG_BINDIR]
    #[arg(long, value_name = "DIR")]
    pg_bindir: Option<PathBuf>,
}

impl Shape {
    pub(super) fn options(&self) -> Options {
        Options {
            grants: self.grants,
            bindir: self.pg_bindir.clone(),
            ..Options::default()
        }
    }
}

/// Start a temporary local PostgreSQL in the shape of a Supabase project
///
/// With a command: runs it with DATABASE_URL set, and exits with its code. Without: prints the connection string and
/// waits for Ctrl-C. Nothing is left behind either way.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Examples:\n  sessctl sandbox -- sessctl migrate\n  sessctl sandbox --grants open --pg-cron")]
pub struct Args {
    #[command(flatten)]
    shape: Shape,
    /// Load and enable pg_cron, if its package is installed
    #[arg(long)]
    pg_cron: bool,
    /// The command to run
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Args {
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        context.terminal.note("starting a temporary PostgreSQL");
        let options = Options {
            pg_cron: self.pg_cron,
            ..self.shape.options()
        };
        let sandbox = tokio::select! {
            // First: after initdb, which blocks, nothing more is begun.
            biased;
            () = context.stop.requested() => {
                return Err(Failure::interrupted("stopped while the sandbox was starting").into());
            }
            sandbox = Sandbox::start(&options) => sandbox?,
        };
        let Some((program, arguments)) = self.command.split_first() else {
            let mut out = io::stdout();
            let url = Url {
                database_url: sandbox.url(),
            };
            context.terminal.write(&url, &mut out)?;
            context
                .terminal
                .note("waiting; Ctrl-C stops it and removes all it wrote");
            context.stop.requested().await;
            return Ok(Box::new(Done { code: exit::DONE }));
        };
        // Ctrl-C in a terminal reaches the command by itself, and its end is the end.
        context.stop.share();
        let mut child = command_for(&sandbox, program.as_ref())
            .args(arguments)
            .spawn()
            .map_err(|error| Failure::new(format!("can't run {}: {error}", program.display())))?;
        let status = tokio::select! {
            status = child.wait() => status?,
            () = context.stop.requested() => {
                terminate(&child).await;
                child.wait().await?
            }
        };
        Ok(Box::new(Done { code: code_of(status) }))
    }
}

/// A command whose database is the sandbox, whatever libpq's variables would say of another.
pub(super) fn command_for(sandbox: &Sandbox, program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"PG") || name == "SUPABASE_DB_URL" {
            command.env_remove(name);
        }
    }
    command.env("DATABASE_URL", sandbox.url());
    command
}

/// Sends SIGTERM.
async fn terminate(child: &Child) {
    if let Some(pid) = child.id() {
        // Where it is gone already, there is nothing to stop.
        let _ = Command::new("kill").arg(pid.to_string()).status().await;
    }
}

/// As a shell has it: the command's code, or 128 and the signal that ended it.
fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::FAILED)
}

/// The connection string, while the sandbox waits.
#[derive(Serialize)]
struct Url {
    database_url: String,
}

impl Report for Url {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        out.line(self.database_url.as_str())
    }
}
