//! `sessctl migrate`: brings a database to the schema of this binary.

mod dry_run;
mod repair;
mod repair_dry_run;
mod report;

use std::time::Duration;

use anyhow::Result;
use clap::Args as ClapArgs;

use super::Context;
use crate::config::{Written, duration, timeout};
use crate::database::Database;
use crate::failure::Failure;
use crate::migrations::{Asked, LockLimits, Plan, RepairPlan, question};
use crate::output::Report;
use dry_run::DryRun;
use report::Outcome;

/// Bring the database to this version's schema, new or made manually
#[derive(ClapArgs, Debug)]
#[command(
    after_help = "Examples:\n  sessctl migrate --dry-run\n  sessctl migrate --platforms web,ios-external,android"
)]
pub struct Args {
    /// Print the pending SQL and what it drops, replaces or revokes (with --verbose each right); change nothing
    #[arg(long)]
    dry_run: bool,
    /// Stop at this version
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(i32).range(1..))]
    target: Option<i32>,
    /// Allowed platforms, separated by commas, instead of those of sessctl.toml
    #[arg(long, value_name = "LIST", value_parser = list)]
    platforms: Option<Platforms>,
    /// Do not ask before changes that clients may depend on
    #[arg(long)]
    yes: bool,
    /// Restore sessctl's own objects where they differ; no migration runs again, no row is lost
    #[arg(long, conflicts_with_all = ["target", "platforms"])]
    repair: bool,
    /// Maximum wait for a table lock (queries queue behind it); retried up to 8 times
    #[arg(long, value_name = "TIME", value_parser = timeout, default_value = "200ms")]
    lock_timeout: Duration,
    /// Maximum wait for another migrate
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    lock_wait: Duration,
}

/// A list in one argument.
#[derive(Clone, Debug)]
struct Platforms(Vec<String>);

fn list(text: &str) -> Result<Platforms, String> {
    let list = Written::Text(text.to_owned()).list();
    list.map(Platforms).map_err(|wrong| wrong.to_string())
}

impl Args {
    /// # Errors
    /// A database that can't be migrated, or a migration that failed.
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let mut declared = context.settings()?.declared;
        if let Some(Platforms(list)) = &self.platforms {
            declared.insert("platforms".into(), list.clone());
        }
        let asked = Asked {
            target: self.target,
            declared,
        };
        let database = context.connect_to_change("migrate").await?.without_statement_timeout();
        let database = context
            .until_stopped(async { Ok(database.without_lock_timeout().await?) })
            .await?;
        let cancel = database.canceller();
        let outcome = tokio::select! {
            outcome = self.migrate(&database, asked, context) => outcome,
            () = context.stop.requested() => {
                // Without it the server would go on with the statement, for a client that is gone.
                cancel.cancel().await;
                return Err(Failure::interrupted(
                    "stopped: migrations reported as applied stay; the one that was running was rolled back, or its index will be rebuilt",
                ).hint(if self.repair { "run sessctl migrate --repair again to go on" } else { "run sessctl migrate again to go on" }).into());
            }
        }?;
        database.close().await;
        Ok(outcome)
    }

    async fn migrate(&self, database: &Database, asked: Asked, context: &Context<'_>) -> Result<Box<dyn Report>> {
        if !self.repair {
            return self.bring_up(database, asked, context).await;
        }
        let declared = asked.declared.clone();
        if RepairPlan::is_behind(database).await? {
            let migrated = self.bring_up(database, asked, context).await?;
            if self.dry_run {
                context
                    .terminal
                    .warn("what drifted shows once these migrations are applied");
                return Ok(migrated);
            }
        }
        self.put_back(database, &declared, context).await
    }

    async fn bring_up(&self, database: &Database, asked: Asked, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let plan = Plan::read(database, asked).await?;
        if self.dry_run {
            return Ok(Box::new(DryRun::of(
                plan,
                context.terminal.is_verbose(),
                self.lock_timeout,
            )));
        }
        let note = |text: &str| context.terminal.note(text);
        let is_verbose = context.terminal.is_verbose();
        for line in if is_verbose { &plan.changes } else { &plan.listed } {
            note(line);
        }
        for policy in &plan.leaves {
            context.terminal.warn(&format!(
                "{} is not sessctl's and stays; sessctl verify shows what it lets pass",
                policy
            ));
        }
        self.confirm(&plan.risks, context).await?;
        let applied = plan.apply(database, self.limits(), &note).await?;
        Ok(Box::new(Outcome {
            applied: applied.into_iter().map(Into::into).collect(),
            declared: plan.declared(),
            recorded: plan.unrecorded.iter().map(Into::into).collect(),
            version: plan.version_after(),
        }))
    }

    /// Asks before what clients may depend on is changed.
    async fn confirm(&self, risks: &[String], context: &Context<'_>) -> Result<(), Failure> {
        match question(risks).filter(|_| !self.yes) {
            Some(question) => context.confirm(&question).await,
            None => Ok(()),
        }
    }

    fn limits(&self) -> LockLimits {
        LockLimits {
            lock_timeout: self.lock_timeout,
            lock_wait: self.lock_wait,
        }
    }
}
