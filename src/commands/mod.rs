//! One file a command: its arguments, its work, its result.

pub mod anonymize;
pub mod cleanup;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod end_inactive;
pub mod export;
pub mod generate;
mod maintenance;
pub mod metrics;
pub mod migrate;
mod pinging;
pub mod sandbox;
pub mod schedule;
mod settings;
pub mod stats;
pub mod status;
pub mod summary;
pub mod verify;

use std::cell::OnceCell;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::config::{Args as Connection, Target};
use crate::database::{Canceller, Database};
use crate::failure::Failure;
use crate::output::Terminal;
use crate::retry::{Backoff, retry};
use crate::signals::StopSignal;
use settings::Settings;

/// The pauses of --wait between two attempts to connect.
const WAIT: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

/// What every command is given.
pub struct Context<'a> {
    /// Which database.
    pub connection: &'a Connection,
    /// `--config`.
    pub config: Option<&'a Path>,
    /// Where to write.
    pub terminal: &'a Terminal,
    /// Stops what the server does for this command.
    pub canceller: OnceCell<Canceller>,
    /// Whether it is to stop.
    pub stop: StopSignal,
}

impl Context<'_> {
    /// What is in force where a command's own flags say nothing.
    ///
    /// # Errors
    /// A `sessctl.toml` or a variable that can't be understood.
    fn settings(&self) -> Result<Settings, Failure> {
        Settings::read(self.config)
    }

    /// Connects for a command that only looks.
    ///
    /// # Errors
    /// No database named, or none reached.
    pub async fn connect(&self, command: &str) -> Result<Database> {
        let target = self.connection.target(self.terminal)?;
        self.reach(&target, command).await
    }

    /// Connects for a command that changes something: it names its target first.
    ///
    /// # Errors
    /// No database named, or none reached.
    pub async fn connect_to_change(&self, command: &str) -> Result<Database> {
        let target = self.connection.target(self.terminal)?;
        self.change(&target, command).await
    }

    /// [`Self::connect_to_change`] to a database that is known.
    async fn change(&self, target: &Target, command: &str) -> Result<Database> {
        self.terminal.note(&format!("{command} on {target}"));
        self.reach(target, command).await
    }

    /// Connects; with --wait it gives a server time to start.
    async fn reach(&self, target: &Target, command: &str) -> Result<Database> {
        let pauses = WAIT.within(self.connection.wait());
        let connected = self.until_stopped(async {
            let connected = retry(pauses, Failure::is_transient, async |_| {
                Database::connect(target, command).await
            });
            Ok(connected.await?)
        });
        let database = connected.await?;
        let _ = self.canceller.set(database.canceller());
        Ok(database)
    }

    /// Does what knows nothing of signals: one of them stops it, and what the server does for it.
    ///
    /// # Errors
    /// Its own, or that it was stopped.
    pub async fn until_stopped<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.stop.requested() => {
                if let Some(canceller) = self.canceller.get() {
                    canceller.cancel().await;
                }
                Err(Failure::interrupted("stopped before it was done").into())
            }
            result = work => result,
        }
    }

    /// Asks whether to go on. Where nobody can answer, --yes is the answer.
    ///
    /// # Errors
    /// No, or no answer.
    pub async fn confirm(&self, question: &str) -> Result<(), Failure> {
        let Some(answer) = self.terminal.ask(question) else {
            return Err(Failure::new(question).hint("nothing was changed; add --yes if that is what you want"));
        };
        tokio::select! {
            answer = answer => match answer {
                Ok(true) => Ok(()),
                _ => Err(Failure::new("not confirmed; nothing was changed")),
            },
            () = self.stop.requested() => Err(Failure::interrupted("stopped; nothing was changed")),
        }
    }
}
