//! `sessctl end-inactive`: ends sessions that give no sign of life.

use anyhow::Result;
use clap::{Args as ClapArgs, ValueEnum};
use tokio_postgres::types::Type;

use super::Context;
use crate::maintenance::{Job, Options};
use crate::output::Report;

/// How many sessions are listed at once: each list costs a look at the active ones, and is held in memory.
const LIST_SIZE: i32 = 50_000;

/// When a session that is ended now is said to have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum EndedAt {
    /// Now, as the original script does.
    #[default]
    Now,
    /// When it was last seen: a table that nobody swept for a year then gets no year-long sessions.
    LastHeartbeat,
}

/// End sessions without a sign of life
///
/// A session is ended when its status is active and it was last seen before now minus the minutes, by the server's
/// clock. Last seen is the first of last_heartbeat_at, last_activity_at, updated_at and created_at that is set and not in
/// the future (by more than five minutes).
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// Minutes without a sign of life
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(i32).range(1..=5_256_000))]
    minutes: i32,
    /// End idle sessions too
    #[arg(long)]
    include_idle: bool,
    /// What ended_at is set to
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    ended_at: EndedAt,
    /// The most rows of one transaction
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    batch_size: i32,
    #[command(flatten)]
    options: Options,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's or the connection's, where trying again is no use.
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let at_last_seen = self.ended_at == EndedAt::LastHeartbeat;
        let job = Job {
            command: "end-inactive",
            done: "ended",
            would: "would end",
            which: "last seen before",
            look: include_str!("../maintenance/end_inactive/look.sql"),
            list: Some(include_str!("../maintenance/end_inactive/list.sql")),
            batch: include_str!("../maintenance/end_inactive/batch.sql"),
            count: include_str!("../maintenance/end_inactive/count.sql"),
            limit: self.minutes,
            extra: vec![
                (&self.include_idle, Type::BOOL),
                (&at_last_seen, Type::BOOL),
                (&LIST_SIZE, Type::INT4),
            ],
            batch_size: self.batch_size,
            first_batch: 1_000,
        };
        Ok(Box::new(job.run(&self.options, context).await?))
    }
}
