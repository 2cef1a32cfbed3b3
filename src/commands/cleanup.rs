//! `sessctl cleanup`: deletes sessions past retention.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args as ClapArgs;

use super::Context;
use super::maintenance::Options;
use super::settings::Settings;
use crate::archive::Command;
use crate::failure::Failure;
use crate::maintenance::{ArchiveWork, CLEANUP, Work};
use crate::output::Report;

/// Delete old ended sessions
///
/// A session is deleted when it ended before now minus the days (of 24 hours), by the server's clock, and its status is
/// neither active nor idle again. Ended sessions with an implausible ended_at are settled first: they ended when they were
/// last seen.
///
/// Where the days are fewer than those of the last run and over half of the table would go, it asks, or needs --yes. The
/// procedure sessctl.run_cleanup and the function cleanup_old_sessions ask nobody: a direct call is its caller's own word.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Examples:\n  sessctl cleanup --days 90\n  sessctl cleanup --days 90 --archive archive")]
pub struct Args {
    /// Days since a session ended (default 90)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(CLEANUP.range.clone()))]
    days: Option<i32>,
    /// Maximum rows per transaction
    #[arg(long, value_name = "N", default_value_t = CLEANUP.batch_size, value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    batch_size: i32,
    /// Exit with 0 if a foreign key of another table keeps sessions
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    keep_referenced: Option<bool>,
    /// Do not ask if --days is smaller than last time and over half of the table is affected
    #[arg(long)]
    yes: bool,
    /// First write the sessions into this folder, as Parquet files
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Run this for each file before its sessions are deleted; %p is its path, %f its path in DIR
    #[arg(long, value_name = "COMMAND", value_parser = parse_command)]
    archive_command: Option<Command>,
    /// Omit ip_address, user_agent and location_info from the files
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    archive_without_addresses: Option<bool>,
    /// Allow this run and later ones to delete without an archive
    #[arg(long)]
    no_archive_required: bool,
    #[command(flatten)]
    options: Options,
}

fn parse_command(text: &str) -> Result<Command, String> {
    Command::parse(text).map_err(|wrong| format!("it {wrong}"))
}

impl Args {
    /// # Errors
    /// The server's or the connection's, where trying again is no use.
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let settings = context.settings()?;
        let work = Work {
            threshold: self.days.unwrap_or(settings.days),
            batch_size: self.batch_size,
            keep_referenced: self.keep_referenced.unwrap_or(settings.keep_referenced),
            archive: self.archive(&settings)?,
            no_archive_required: self.no_archive_required,
            ..Work::of(&CLEANUP)
        };
        self.options
            .run(&work, self.yes, &settings.ping_cleanup, &settings, context)
            .await
    }

    fn archive(&self, settings: &Settings) -> Result<Option<ArchiveWork>, Failure> {
        let dir = self.archive.clone().or_else(|| settings.archive_dir());
        let Some(dir) = dir.filter(|dir| !dir.as_os_str().is_empty()) else {
            return match (&self.archive_command, self.archive_without_addresses) {
                (None, None | Some(false)) => Ok(None),
                _ => Err(Failure::usage("there is no archive: --archive names its folder")),
            };
        };
        let command = match &self.archive_command {
            Some(command) => Some(command.clone()),
            None if settings.archive_command.is_empty() => None,
            None => {
                settings.refuse_others_command()?;
                let command = Command::parse(&settings.archive_command);
                Some(command.map_err(|wrong| Failure::usage(format!("cleanup.archive-command {wrong}")))?)
            }
        };
        Ok(Some(ArchiveWork {
            dir,
            command,
            without_addresses: self
                .archive_without_addresses
                .unwrap_or(settings.archive_without_addresses),
        }))
    }
}
