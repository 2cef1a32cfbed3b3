//! Where the connection string and the settings come from, and in what order.

mod dotenv;
mod duration;
mod error;
mod file;
mod key_value;
mod parameters;
mod regular;
mod settings;
mod supabase;
mod target;
mod tls;
mod url;

use std::env::VarError;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clap::Args as ClapArgs;

use error::Error;
use parameters::Environment;
use target::{Overrides, parse};

pub(crate) use duration::{duration, timeout};
pub(crate) use file::{ConfigFile, FoundBy};
pub(crate) use settings::{Reader, Setting, Source, Written, Wrong};
pub(crate) use supabase::SupabaseHost;
pub use target::Target;
pub(crate) use tls::{RootCert, SslMode, TlsPolicy};

use crate::failure::Failure;
use crate::output::Terminal;

const VARIABLES: [&str; 2] = ["DATABASE_URL", "SUPABASE_DB_URL"];

/// What to do where a `$` of a `.env` file is no longer in the connection string.
pub(crate) const EXPANDED: &str = "in .env, $NAME was replaced by the value of that variable: if the $ belongs to the \
    password, put the whole connection string into single quotes, or write the $ as %24 in a URL";

/// The flags that say which database, and how to reach it.
#[derive(ClapArgs, Clone)]
#[command(next_help_heading = "Connection and output")]
pub struct Args {
    /// Connection string, a URL or key=value pairs; visible in ps, so prefer DATABASE_URL
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// TLS: disable, prefer, require, verify-ca or verify-full
    #[arg(long, global = true, value_name = "MODE")]
    sslmode: Option<SslMode>,
    /// File with the CA that verify-ca and verify-full trust, or "system"
    #[arg(long, global = true, value_name = "PATH", value_parser = |path: &str| Ok::<_, String>(RootCert::from(path)))]
    sslrootcert: Option<RootCert>,
    /// Maximum wait for a connection, per address (default 10s)
    #[arg(long, global = true, value_name = "TIME", value_parser = duration)]
    connect_timeout: Option<Duration>,
    /// Maximum wait for an answer (default 60s, a batch 10s; a migration has none)
    #[arg(long, global = true, value_name = "TIME", value_parser = timeout)]
    timeout: Option<Duration>,
    /// Wait so long for a server that is starting (default 0s)
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
        let Some(given) = self.given(terminal)? else {
            return Err(Failure::usage("no database named")
                .hint(
                    "set DATABASE_URL (or SUPABASE_DB_URL) in the environment or in a .env file, or give --database-url; \
                     the string is in the Supabase dashboard under Connect",
                )
                .into());
        };
        let overrides = Overrides {
            sslmode: self.sslmode,
            sslrootcert: self.sslrootcert.clone(),
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
        };
        let target = Environment::from_process().and_then(|environment| parse(&given.text, &environment, &overrides));
        match target {
            Ok(target) => Ok(target.expanded(given.is_expanded)),
            Err(error) if given.is_expanded => Err(Failure::from(error).hint(EXPANDED).into()),
            Err(error) => Err(Failure::from(error).into()),
        }
    }

    /// Where the connection string comes from, if there is one.
    ///
    /// # Errors
    /// A `.env` file that can't be read.
    pub(crate) fn origin(&self, terminal: &Terminal) -> Result<Option<Origin>> {
        Ok(self.given(terminal)?.map(|given| given.origin))
    }

    fn given(&self, terminal: &Terminal) -> Result<Option<Given>> {
        match &self.database_url {
            Some(text) => Ok(Some(Given::exactly(text.clone(), Origin::Flag))),
            None => find(Path::new(".env"), terminal),
        }
    }

    /// How long to wait for a server that is starting.
    pub fn wait(&self) -> Duration {
        self.wait
    }
}

/// Where a connection string comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `--database-url`.
    Flag,
    /// This variable.
    Environment(&'static str),
    /// A `.env` file.
    DotEnv,
}

/// A connection string as it was given.
struct Given {
    text: String,
    origin: Origin,
    /// Whether a `$NAME` in it was replaced by the value of a variable.
    is_expanded: bool,
}

impl Given {
    fn exactly(text: String, origin: Origin) -> Self {
        Self {
            text,
            origin,
            is_expanded: false,
        }
    }
}

/// The environment comes first; a `.env` file counts only where the environment has neither variable.
fn find(file: &Path, terminal: &Terminal) -> Result<Option<Given>> {
    for name in VARIABLES {
        match std::env::var(name) {
            Ok(text) if !text.trim().is_empty() => {
                return Ok(Some(Given::exactly(text, Origin::Environment(name))));
            }
            Err(VarError::NotUnicode(_)) => return Err(Failure::from(Error::NotUnicode(name)).into()),
            _ => {}
        }
    }
    let Some(entry) = dotenv::read(file)? else {
        return Ok(None);
    };
    if entry.is_exposed {
        terminal.warn(".env holds a password and others on this machine may read it: chmod 600 .env");
    }
    Ok(Some(Given {
        text: entry.text,
        origin: Origin::DotEnv,
        is_expanded: entry.is_expanded,
    }))
}
