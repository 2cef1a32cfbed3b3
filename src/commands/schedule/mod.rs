//! `sessctl schedule`: maintenance by the database itself, through pg_cron.

mod anonymize;
mod install;
mod installed;
mod list;
mod listing;
mod remove;

use anyhow::Result;
use clap::{Args as ClapArgs, Subcommand};
use serde::Deserialize;
use tokio_postgres::types::Type;

use super::Context;
use crate::database::Database;
use crate::failure::Failure;
use crate::maintenance::{CRON_WITHOUT_ARCHIVE, cron_jobs, has_cron_without_archive};
use crate::output::Report;

/// Let the database run maintenance itself, with pg_cron
///
/// A job calls sessctl.run_end_inactive or sessctl.run_cleanup. These procedures, and the functions end_inactive_sessions and
/// cleanup_old_sessions, take the minutes or days of a call as its caller's word: they ask nobody, however many sessions go.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Examples:\n  sessctl schedule install --minutes 60 --days 90\n  sessctl schedule list")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create or update the jobs
    Install(install::Install),
    /// Show the jobs and their latest runs
    List,
    /// Remove the jobs
    Remove,
}

impl Args {
    /// Whether the result has rows.
    pub fn is_list(&self) -> bool {
        matches!(self.action, Action::List)
    }

    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        if let Action::Install(install) = &self.action
            && install.dry_run
        {
            return Ok(Box::new(install.plan(&context.settings()?)));
        }
        let database = match self.action {
            Action::List => context.connect("schedule").await?,
            Action::Install(_) | Action::Remove => context.connect_to_change("schedule").await?,
        };
        require_pg_cron(&database, matches!(self.action, Action::Install(_))).await?;
        if matches!(self.action, Action::Install(_)) {
            refuse_jobs_of_others(&database).await?;
        }
        let report: Box<dyn Report> = match &self.action {
            Action::Install(install) => {
                let settings = context.settings()?;
                if let Some(question) = install.question(&database, &settings).await? {
                    context.confirm(&question).await?;
                }
                let installed = install.run(&database, &settings).await?;
                if has_cron_without_archive(&database).await.unwrap_or_default() {
                    let (what, hint) = CRON_WITHOUT_ARCHIVE;
                    context.terminal.warn_always(what);
                    context.terminal.hint_line(hint);
                }
                Box::new(installed)
            }
            Action::List => Box::new(list::run(&database).await?),
            Action::Remove => Box::new(remove::run(&database).await?),
        };
        database.close().await;
        Ok(report)
    }
}

const FAILED: &str = "schedule failed";

#[derive(Deserialize)]
struct State {
    installed: bool,
    available: bool,
    usable: bool,
    database: String,
    migrated: bool,
}

/// pg_cron, and to install jobs also the functions that they call.
async fn require_pg_cron(database: &Database, to_install: bool) -> Result<(), Failure> {
    let state: State = database.ask(include_str!("state.sql"), &[], FAILED).await?;
    if !state.installed {
        let what = format!("pg_cron is not enabled in database {}", state.database);
        return Err(Failure::new(what).hint(if state.available {
            "enable it in the dashboard (Integrations, Cron), or run: create extension pg_cron; it lives in database postgres only"
        } else {
            "this server does not have it: let cron on another machine call sessctl (docs/schedule.md)"
        }));
    }
    if !state.usable {
        return Err(Failure::new("this role may not use pg_cron").hint("connect as postgres"));
    }
    if to_install && !state.migrated {
        return Err(Failure::new("the database is not migrated far enough").hint("run sessctl migrate"));
    }
    Ok(())
}

#[derive(Deserialize)]
struct OtherJob {
    id: i64,
    name: String,
    username: String,
}

/// A job of the same name that belongs to another user would run beside the one to install, with numbers of its own.
async fn refuse_jobs_of_others(database: &Database) -> Result<(), Failure> {
    let parameters = [(
        &cron_jobs() as &(dyn tokio_postgres::types::ToSql + Sync),
        Type::TEXT_ARRAY,
    )];
    let others: Vec<OtherJob> = database.ask(include_str!("others.sql"), &parameters, FAILED).await?;
    let Some(OtherJob { id, name, username }) = others.first() else {
        return Ok(());
    };
    Err(
        Failure::new(format!("user {username} has a job {name} already; nothing was changed")).hint(format!(
            "run sessctl schedule as {username}, or remove that job, as {username}: select cron.unschedule({id})"
        )),
    )
}
