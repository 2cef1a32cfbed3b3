//! One file a command: its arguments, its work, its result.

pub mod cleanup;
pub mod demo;
pub mod end_inactive;
mod maintenance;
pub mod migrate;
pub mod sandbox;
pub mod status;
pub mod summary;
pub mod verify;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use crate::config;
use crate::database::Database;
use crate::failure::Failure;
use crate::output::Terminal;

/// What every command is given.
pub struct Context<'a> {
    /// Which database.
    pub connection: &'a config::Args,
    /// Where to write.
    pub terminal: &'a Terminal,
}

impl Context<'_> {
    /// Connects for a command that only looks.
    ///
    /// # Errors
    /// No database named, or none reached.
    pub async fn connect(&self, command: &str) -> Result<Database> {
        let target = self.connection.target()?;
        Ok(Database::connect(&target, command).await?)
    }

    /// Connects for a command that changes something: it names its target first.
    ///
    /// # Errors
    /// No database named, or none reached.
    pub async fn connect_to_change(&self, command: &str) -> Result<Database> {
        let target = self.connection.target()?;
        self.terminal.note(&format!("{command} on {target}"));
        Ok(Database::connect(&target, command).await?)
    }
}

/// Which signal asked the program to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// Comes back when SIGINT or SIGTERM asks the program to stop.
///
/// # Errors
/// The system gives no signals.
pub async fn interrupted() -> Result<Stop, Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::new("can't listen for signals").because(error));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(tokio::select! {
        _ = interrupt.recv() => Stop::Interrupt,
        _ = terminate.recv() => Stop::Terminate,
    })
}
