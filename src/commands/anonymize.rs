//! `sessctl anonymize`: removes the address, the user agent and the location from sessions that ended long ago.

use anyhow::Result;
use clap::Args as ClapArgs;

use super::Context;
use super::maintenance::Options;
use crate::maintenance::{ANONYMIZE, Address, Kept, Removal, Work};
use crate::output::Report;

/// Remove address, user agent and location from old ended sessions
///
/// Of a session that ended before now minus the days (of 24 hours), by the server's clock, and whose status is neither active
/// nor idle again, ip_address and user_agent become null and location_info {}. Nothing else changes; user_id and device_info
/// stay. A run begins where the last one stopped, once a week at the oldest session. Ended sessions with an implausible
/// ended_at are settled first: they ended when they were last seen.
///
/// Where the days are fewer than those of the last run and over half of the table would be anonymized, it asks, or needs --yes. The
/// procedure sessctl.run_anonymize asks nobody: a direct call is its caller's own word.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Examples:\n  sessctl anonymize --days 30\n  sessctl anonymize --ip truncate --keep user-agent")]
pub struct Args {
    /// Days since a session ended (default 30)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(ANONYMIZE.range.clone()))]
    days: Option<i32>,
    /// Remove IP addresses (the default), or keep their network, /24 or /48
    #[arg(long, value_enum, value_name = "HOW")]
    ip: Option<Address>,
    /// Columns to keep, separated by a comma
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    keep: Option<Vec<Kept>>,
    /// Maximum rows per transaction
    #[arg(long, value_name = "N", default_value_t = ANONYMIZE.batch_size, value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    batch_size: i32,
    /// Do not ask if --days is smaller than last time and over half of the table is affected
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
        let keep = self.keep.as_ref().unwrap_or(&settings.anonymize_keep);
        let work = Work {
            threshold: self.days.unwrap_or(settings.anonymize_days),
            batch_size: self.batch_size,
            removal: Removal::new(self.ip.unwrap_or(settings.anonymize_ip), keep),
            ..Work::of(&ANONYMIZE)
        };
        self.options
            .run(&work, self.yes, &settings.ping_anonymize, &settings, context)
            .await
    }
}
