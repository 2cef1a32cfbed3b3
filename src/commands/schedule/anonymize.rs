//! The flags of `sessctl schedule install` about anonymize.

use clap::Args as ClapArgs;

use super::super::settings::Settings;
use crate::maintenance::{ANONYMIZE, Address, Kept, Removal, Work};

#[derive(ClapArgs, Debug)]
pub(super) struct Anonymize {
    /// Remove addresses, user agents and locations too, at this time (default hourly); without it their job stays as it is
    #[arg(long, value_name = "SCHEDULE", num_args = 0..=1, default_missing_value = ANONYMIZE.cron_schedule)]
    pub(super) anonymize: Option<String>,
    /// Days since a session ended (default 30)
    #[arg(long, value_name = "N", requires = "anonymize", value_parser = clap::value_parser!(i32).range(ANONYMIZE.range.clone()))]
    anonymize_days: Option<i32>,
    /// What becomes of an address (default remove)
    #[arg(long, value_enum, value_name = "HOW", requires = "anonymize")]
    anonymize_ip: Option<Address>,
    /// What stays; both with a comma between them
    #[arg(long, value_enum, value_name = "WHAT", requires = "anonymize", value_delimiter = ',')]
    anonymize_keep: Option<Vec<Kept>>,
}

impl Anonymize {
    /// What the job does.
    pub(super) fn work(&self, settings: &Settings) -> Work {
        let keep = self.anonymize_keep.as_ref().unwrap_or(&settings.anonymize_keep);
        Work {
            threshold: self.anonymize_days.unwrap_or(settings.anonymize_days),
            removal: Removal::new(self.anonymize_ip.unwrap_or(settings.anonymize_ip), keep),
            ..Work::of(&ANONYMIZE)
        }
    }
}
