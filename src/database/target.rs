//! A database as the user names it.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::failure::Failure;

/// A database, and how to reach it. Shows itself as user@host:port/database, never with the password.
#[derive(Clone)]
pub struct Target {
    config: Config,
}

impl Target {
    /// Reads a connection string, a URL or key=value pairs.
    ///
    /// # Errors
    /// What is wrong with it, without any part of it.
    pub fn parse(text: &str) -> Result<Self> {
        let mut config: Config = text.trim().parse().map_err(|error| {
            Failure::usage("the connection string can't be understood").because(anyhow::Error::new(error))
        })?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(10));
        }
        Ok(Self { config })
    }

    /// The driver's configuration, with an application_name that tells the command.
    pub(super) fn config(&self, command: &str) -> Config {
        let mut config = self.config.clone();
        config.application_name(format!("sessctl/{} {command}", env!("CARGO_PKG_VERSION")));
        config
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.config.get_user().unwrap_or("?");
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "?".into(),
        };
        let port = self.config.get_ports().first().unwrap_or(&5432);
        let database = self.config.get_dbname().unwrap_or(user);
        write!(f, "{user}@{host}:{port}/{database}")
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}
