//! `sessctl end-inactive`: ends sessions without a sign of life.

use anyhow::Result;
use clap::{Args as ClapArgs, ValueEnum};
use serde::Serialize;

use super::Context;
use super::maintenance::Options;
use crate::maintenance::{END_INACTIVE, Work};
use crate::output::Report;

/// When a session that is ended now is said to have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum EndedAt {
    /// Now, as the original script does.
    Now,
    /// When it was last seen: a table that nobody swept for a year then gets no year-long sessions.
    LastHeartbeat,
}

/// End sessions without a heartbeat
///
/// A session is ended when its status is active and it was last seen before now minus the minutes, by the server's
/// clock. Last seen is the first of last_heartbeat_at, last_activity_at, updated_at and created_at that is set and not in
/// the future (by more than five minutes). Ended sessions with an implausible ended_at are settled first: they ended when they
/// were last seen.
#[derive(ClapArgs, Debug)]
#[command(
    after_help = "Examples:\n  sessctl end-inactive --minutes 60\n  sessctl end-inactive --ended-at last-heartbeat --dry-run"
)]
pub struct Args {
    /// Minutes since the last sign of life (default 60)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(END_INACTIVE.range.clone()))]
    minutes: Option<i32>,
    /// Also end idle sessions
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    include_idle: Option<bool>,
    /// Value of ended_at (default now)
    #[arg(long, value_enum, value_name = "WHEN")]
    ended_at: Option<EndedAt>,
    /// Maximum rows per transaction
    #[arg(long, value_name = "N", default_value_t = END_INACTIVE.batch_size, value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    batch_size: i32,
    #[command(flatten)]
    options: Options,
}

impl Args {
    /// # Errors
    /// The server's or the connection's, where trying again is no use.
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let settings = context.settings()?;
        let work = Work {
            threshold: self.minutes.unwrap_or(settings.minutes),
            batch_size: self.batch_size,
            include_idle: self.include_idle.unwrap_or(settings.include_idle),
            at_last_seen: self.ended_at.unwrap_or(settings.ended_at) == EndedAt::LastHeartbeat,
            ..Work::of(&END_INACTIVE)
        };
        self.options
            .run(&work, true, &settings.ping_end_inactive, &settings, context)
            .await
    }
}
