//! `sessctl verify`: is the schema still what the migrations make?

mod lines;
mod report;

use anyhow::Result;
use clap::Args as ClapArgs;

use super::Context;
use crate::output::Report;
use crate::schema::{Allowed, Found, Team, Verdict};
pub(super) use lines::lines;
use report::Verified;

/// Fail if the schema differs from what the migrations make
///
/// Exits with 0 if it is, with 1 if migrations are pending or something drifted, with 3 if it could not look.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Examples:\n  sessctl verify --format github\n  sessctl verify --strict --allow trigger:audit")]
pub struct Args {
    /// Also fail on additional columns, indexes, constraints and rights of other roles
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    strict: Option<bool>,
    /// Accept an object of yours, such as trigger:NAME or grant:ROLE:RIGHT; repeatable
    #[arg(long, value_name = "KIND:NAME")]
    allow: Vec<Allowed>,
}

impl Args {
    /// # Errors
    /// It could not look.
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let settings = context.settings()?;
        let team = Team {
            strict: self.strict.unwrap_or(settings.strict),
            allow: [&*settings.allow, &self.allow].concat(),
            declared: settings.declared,
        };
        let database = context.connect("verify").await?;
        let found = Found::read(&database).await?;
        let target = database.target().to_string();
        database.close().await;
        Ok(Box::new(Verified {
            verdict: Verdict::of(&found, &team),
            target,
        }))
    }
}
