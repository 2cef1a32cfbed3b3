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

/// Check, without changing anything, that the schema is what the migrations make
///
/// Exits with 0 if it is, with 1 if migrations are pending or something drifted, with 3 if it could not look.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// Count extra columns, indexes, constraints and rights of other roles as drift too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    strict: Option<bool>,
    /// Accept what is your own: trigger:NAME, policy:NAME, column:NAME, index:NAME, grant:ROLE:RIGHT and so on; added to those of
    /// sessctl.toml
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
