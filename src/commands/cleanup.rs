//! `sessctl cleanup`: deletes sessions past retention.

use anyhow::Result;
use clap::Args as ClapArgs;

use super::Context;
use super::maintenance::Options;
use crate::maintenance::{CLEANUP, Work};
use crate::output::Report;

/// Delete sessions that ended long ago
///
/// A session is deleted when it ended before now minus the days (of 24 hours), by the server's clock, and its status is
/// neither active nor idle again. Ended sessions with an implausible ended_at are settled first: they ended when they were
/// last seen.
///
/// Where the days are fewer than those of the last run and over half of the table would go, it asks, or needs --yes. The
/// procedure sessctl.run_cleanup and the function cleanup_old_sessions ask nobody: a direct call is its caller's own word.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// Days since a session ended (default 90)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(CLEANUP.range.clone()))]
    days: Option<i32>,
    /// The most rows of one transaction
    #[arg(long, value_name = "N", default_value_t = CLEANUP.batch_size, value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    batch_size: i32,
    /// Exit with 0 although a foreign key of another table keeps sessions
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    keep_referenced: Option<bool>,
    /// Delete over half of the table with fewer days than the last run, without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    options: Options,
}

impl Args {
    /// # Errors
    /// The server's or the connection's, where trying again is no use.
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let settings = context.settings()?;
        let work = Work {
            job: &CLEANUP,
            threshold: self.days.unwrap_or(settings.days),
            batch_size: self.batch_size,
            include_idle: false,
            at_last_seen: false,
            keep_referenced: self.keep_referenced.unwrap_or(settings.keep_referenced),
        };
        self.options.run(&work, self.yes, context).await
    }
}
