//! `sessctl stats`: sessions, users and durations, day by day.

mod days;
mod report;

use anyhow::Result;
use clap::{Args as ClapArgs, ValueEnum};
use serde::{Deserialize, Serialize};

use days::{Day, Found};

use super::Context;
use crate::database::{FILTERED, Value, bind};
use crate::failure::Failure;
use crate::output::Report;

/// Show sessions, users and durations per day
///
/// A day's sessions are those that started on it, up to now. Durations: a session that ended by timeout, or is not over, counts
/// to its last sign of life, so that no sweep changes the numbers; any other counts to its end. The share of timeouts is that of
/// the sessions that are over. whole_since is the first day from which on no cleanup has deleted a session.
#[derive(ClapArgs, Debug)]
#[command(
    after_help = "Examples:\n  sessctl stats --days 7\n  sessctl stats --by platform --timezone Europe/Berlin --format csv"
)]
pub struct Args {
    /// Number of days, including today
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=1096))]
    days: u16,
    /// One row per platform
    #[arg(long, value_enum, value_name = "COLUMN")]
    by: Option<By>,
    /// Time zone of the days, such as Europe/Berlin
    #[arg(long, value_name = "NAME", default_value = "UTC")]
    timezone: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// By platform
    Platform,
}

impl Args {
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let database = context.connect("stats").await?;
        let values = [
            ("zone", Value::Text(&self.timezone)),
            ("days", Value::Int(self.days.into())),
            ("by_platform", Value::Bool(self.by.is_some())),
        ];
        let scope: Scope = database
            .ask(&bind(include_str!("stats/scope.sql"), &values), &[], "stats failed")
            .await?;
        let Some(zone) = &scope.zone else {
            return Err(unknown_zone(&self.timezone).into());
        };
        if scope.filtered {
            context.terminal.warn(FILTERED);
        }
        let sql = if scope.indexed {
            include_str!("stats/by_index.sql")
        } else {
            context
                .terminal
                .warn("no index finds sessions by started_at, so stats reads the whole table (without-indexes has idx_user_sessions_started_at, or it is missing)");
            include_str!("stats/whole_table.sql")
        };
        // Compiling the plan would take longer than a short window's work.
        let found: Found = match database.transact("set local jit = off", &bind(sql, &values)).await {
            Ok(found) => found,
            Err(error) => return Err(database.explain(error, "stats failed").await.into()),
        };
        let zone = zone.clone();
        database.close().await;
        Ok(Box::new(Stats {
            zone,
            by_platform: self.by.is_some(),
            days: found.every_day(),
            whole_since: scope.whole_since,
        }))
    }
}

fn unknown_zone(name: &str) -> Failure {
    Failure::usage(format!("unknown time zone: {name}"))
        .hint("use a name such as Europe/Berlin; the server has these: select name from pg_timezone_names")
}

#[derive(Deserialize)]
struct Scope {
    /// Absent where the server does not know the time zone.
    zone: Option<String>,
    /// Row level security hides sessions.
    filtered: bool,
    /// An index finds sessions by started_at.
    indexed: bool,
    whole_since: Option<String>,
}

#[derive(Serialize)]
struct Stats {
    #[serde(skip)]
    zone: String,
    #[serde(skip)]
    by_platform: bool,
    days: Vec<Day>,
    whole_since: Option<String>,
}
