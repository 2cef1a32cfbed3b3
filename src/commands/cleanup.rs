//! `sessctl cleanup`: deletes sessions that ended long ago.

use anyhow::Result;
use clap::Args as ClapArgs;

use super::Context;
use crate::maintenance::{Job, Options};
use crate::output::Report;

/// Delete sessions that ended long ago
///
/// A session is deleted when it ended before now minus the days (of 24 hours), by the server's clock, and its status is
/// neither active nor idle again.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// Days since a session ended
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(i32).range(1..=36_500))]
    days: i32,
    /// The most rows of one transaction
    #[arg(long, value_name = "N", default_value_t = 25_000, value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
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
        let job = Job {
            command: "cleanup",
            done: "deleted",
            would: "would delete",
            which: "that ended before",
            look: include_str!("../maintenance/cleanup/look.sql"),
            list: None,
            batch: include_str!("../maintenance/cleanup/batch.sql"),
            count: include_str!("../maintenance/cleanup/count.sql"),
            limit: self.days,
            extra: Vec::new(),
            batch_size: self.batch_size,
            first_batch: 25_000,
        };
        Ok(Box::new(job.run(&self.options, context).await?))
    }
}
