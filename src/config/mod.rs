//! Where the connection string comes from, and in what order.

mod duration;
mod error;
mod key_value;
mod parameters;
mod supabase;
mod target;
mod tls;
mod url;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clap::Args as ClapArgs;

use parameters::Environment;
use target::{Overrides, parse};

pub(crate) use duration::{duration, timeout};
pub(crate) use supabase::SupabaseHost;
pub use target::Target;
pub(crate) use tls::{RootCert, SslMode, TlsPolicy};

use crate::failure::Failure;
use crate::output::Terminal;

const VARIABLES: [&str; 2] = ["DATABASE_URL", "SUPABASE_DB_URL"];

/// The flags that say which database, and how to reach it.
#[derive(ClapArgs, Clone)]
#[command(next_help_heading = "Connection")]
pub struct Args {
    /// Connection string, a URL or key=value pairs. It shows in `ps` and in the shell's history: prefer DATABASE_URL
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// How far TLS goes: disable, prefer, require, verify-ca or verify-full
    #[arg(long, global = true, value_name = "MODE")]
    sslmode: Option<SslMode>,
    /// File with the CA that verify-ca and verify-full trust, or "system"
    #[arg(long, global = true, value_name = "PATH", value_parser = |path: &str| Ok::<_, String>(RootCert::from(path)))]
    sslrootcert: Option<RootCert>,
    /// How long connecting may take, to each address (default 10s)
    #[arg(long, global = true, value_name = "TIME", value_parser = duration)]
    connect_timeout: Option<Duration>,
    /// How long an answer of the server may take (default 60s); a migration takes the time that it needs
    #[arg(long, global = true, value_name = "TIME", value_parser = timeout)]
    timeout: Option<Duration>,
    /// Wait this long for a server that is starting; not for one that refuses the password
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        value_parser = duration,
        default_value = "0s",
        hide_default_value = true
    )]
    wait: Duration,
}

impl Args {
    /// The database these flags, the environment and a `.env` file name.
    ///
    /// # Errors
    /// No connection string anywhere, or one that can't be understood; never with any part of it in the message.
    pub fn target(&self, terminal: &Terminal) -> Result<Target> {
        let text = match &self.database_url {
            Some(text) => text.clone(),
            None => find(|name| std::env::var(name).ok(), Path::new(".env"), terminal)?,
        };
        let overrides = Overrides {
            sslmode: self.sslmode,
            sslrootcert: self.sslrootcert.clone(),
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
        };
        let target = Environment::from_process().and_then(|environment| parse(&text, &environment, &overrides));
        Ok(target.map_err(Failure::from)?)
    }

    /// How long to wait for a server that is starting.
    pub fn wait(&self) -> Duration {
        self.wait
    }
}

/// The environment comes first; a `.env` file counts only where the environment has neither variable.
fn find(environment: impl Fn(&str) -> Option<String>, file: &Path, terminal: &Terminal) -> Result<String> {
    let given = |text: &String| !text.trim().is_empty();
    if let Some(text) = VARIABLES.iter().find_map(|name| environment(name).filter(given)) {
        return Ok(text);
    }
    let entries: Vec<(String, String)> = match dotenvy::from_path_iter(file) {
        // Its error shows the line, which may hold the password.
        Ok(entries) => entries.collect::<Result<_, _>>().map_err(|_| {
            Failure::usage(".env has a line that can't be read")
                .hint("each line is NAME=value; put a value with spaces, # or $ into single quotes")
        })?,
        Err(error) if error.not_found() => Vec::new(),
        Err(_) => {
            return Err(Failure::usage(".env is there and can't be read")
                .hint("give this user the right to read it, or set DATABASE_URL in the environment")
                .into());
        }
    };
    let in_file = |name: &str| {
        let entry = entries.iter().find(|(key, text)| key == name && given(text));
        entry.map(|(_, text)| text.clone())
    };
    let found = VARIABLES.iter().find_map(|name| in_file(name));
    if found.is_some() && fs::metadata(file).is_ok_and(|about| about.permissions().mode() & 0o077 != 0) {
        terminal.warn(".env holds a password and others on this machine may read it: chmod 600 .env");
    }
    found.ok_or_else(|| {
        Failure::usage("no database named")
            .hint(
                "set DATABASE_URL (or SUPABASE_DB_URL) in the environment or in a .env file, or give --database-url; \
                 the string is in the Supabase dashboard under Connect",
            )
            .into()
    })
}
