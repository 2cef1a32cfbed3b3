//! `sessctl summary`: who is active now, by platform.

mod platform;
mod report;
mod watch;

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args as ClapArgs;
use humantime::Duration as HumanDuration;
use platform::Platform;
use serde::{Deserialize, Serialize};
use tokio_postgres::error::SqlState;

use super::Context;
use crate::database::{Database, FILTERED, Value, bind};
use crate::failure::Failure;
use crate::output::{Report, Terminal};

/// Show who is active now, by platform
///
/// Active sessions, those of them that are due, and idle ones. A session is due where end-inactive would end it, with the
/// minutes of its last run, else those of the settings.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Examples:\n  sessctl summary\n  sessctl summary --watch 5s")]
pub struct Args {
    /// Redraw on a terminal at this interval, such as 5s, until Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = pause)]
    watch: Option<Duration>,
}

/// What a query of schema sessctl ends with where a role has no right on it, or an older version of it is there, or none.
const UNREADABLE: [SqlState; 4] = [
    SqlState::INSUFFICIENT_PRIVILEGE,
    SqlState::INVALID_SCHEMA_NAME,
    SqlState::UNDEFINED_TABLE,
    SqlState::UNDEFINED_COLUMN,
];

/// From a second to a day.
fn pause(text: &str) -> Result<Duration, String> {
    let time: Duration = *text.parse::<HumanDuration>().map_err(|error| error.to_string())?;
    let range = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);
    match range.contains(&time) {
        true => Ok(time),
        false => Err("it may be from 1s to 24h".into()),
    }
}

impl Args {
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let minutes = context.settings()?.minutes;
        if let Some(pause) = self.watch {
            return watch::watch(context, minutes, pause).await;
        }
        let work = async {
            let database = context.connect("summary").await?;
            let summary = Summary::read(&database, minutes).await?;
            database.close().await;
            summary.warn(context.terminal);
            let report: Box<dyn Report> = Box::new(summary);
            Ok(report)
        };
        context.until_stopped(work).await
    }
}

#[derive(Deserialize)]
struct Found {
    now: DateTime<Utc>,
    /// Row level security hides sessions.
    filtered: bool,
    platforms: Vec<Platform>,
}

#[derive(Serialize)]
struct Summary {
    #[serde(skip)]
    now: DateTime<Utc>,
    #[serde(skip)]
    filtered: bool,
    platforms: Vec<Platform>,
    total_active: u64,
    total_idle: Option<u64>,
    total_due: Option<u64>,
}

impl Summary {
    /// One query; a second one where the views of schema sessctl can't be read, or read another table.
    async fn read(database: &Database, minutes: i32) -> Result<Self, Failure> {
        let counts = bind(
            include_str!("summary/counts.sql"),
            &[("minutes", Value::Int(minutes.into()))],
        );
        let found: Option<Found> = match database.transact("set local jit = off", &counts).await {
            Err(error) if error.code().is_some_and(|code| UNREADABLE.contains(code)) => None,
            Err(error) => return Err(database.explain(error, "summary failed").await),
            Ok(found) => found,
        };
        let is_complete = found.is_some();
        let found = match found {
            Some(found) => found,
            None => {
                database
                    .ask(include_str!("summary/view.sql"), &[], "summary failed")
                    .await?
            }
        };
        let total =
            |number: fn(&Platform) -> Option<u64>| is_complete.then(|| found.platforms.iter().filter_map(number).sum());
        Ok(Self {
            now: found.now,
            filtered: found.filtered,
            total_active: found.platforms.iter().map(|platform| platform.active_count).sum(),
            total_idle: total(|platform| platform.idle_count),
            total_due: total(|platform| platform.due_count),
            platforms: found.platforms,
        })
    }

    /// Says what the numbers leave out.
    fn warn(&self, terminal: &Terminal) {
        if self.filtered {
            terminal.warn(FILTERED);
        }
        if self.total_idle.is_none() {
            terminal.warn("idle and due sessions are not counted: the view sessctl.session_last_seen can't be read, or reads another table");
        }
    }
}
