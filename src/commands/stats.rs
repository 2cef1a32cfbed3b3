//! `sessctl stats`: sessions, users and durations, day by day.

mod charts;
mod days;
mod html;
mod operation;
mod report;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args as ClapArgs, ValueEnum, ValueHint};
use serde::{Deserialize, Serialize};

use days::{ALL, Day, Found, NAMED, PLATFORM, REASON, Window};

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
    /// Write a page with charts, by platform, with the sizes and the last runs: one file, which needs no network
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    html: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// By platform
    Platform,
}

impl Args {
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let database = context.connect("stats").await?;
        let zone = [("zone", Value::Text(&self.timezone))];
        let scope: Scope = database
            .ask(&bind(include_str!("stats/scope.sql"), &zone), &[], "stats failed")
            .await?;
        let Some(zone) = scope.zone.clone() else {
            return Err(unknown_zone(&self.timezone).into());
        };
        if scope.filtered {
            context.terminal.warn(FILTERED);
        }
        if !scope.indexed {
            context
                .terminal
                .warn("no index finds sessions by started_at, so stats reads the whole table (without-indexes has idx_user_sessions_started_at, or it is missing)");
        }
        let mut views = vec![(if self.by.is_some() { PLATFORM } else { ALL }, None)];
        if self.html.is_some() {
            // The page begins with all sessions, which stand there already without --by.
            views.extend(self.by.map(|_| (ALL, None)));
            views.extend([(PLATFORM, Some(NAMED)), (REASON, Some(NAMED))]);
        }
        let window = Window {
            zone: &self.timezone,
            days: self.days.into(),
            indexed: scope.indexed,
        };
        let found = window.read(&database, &views).await?;
        let days = found.first().map(Found::every_day).unwrap_or_default();
        let file = match (&self.html, &found[..]) {
            (Some(file), [.., all, platforms, reasons]) => {
                Some(html::write(file, context.terminal, &database, [all, platforms, reasons], &scope).await?)
            }
            _ => None,
        };
        database.close().await;
        Ok(Box::new(Stats {
            zone,
            by_platform: self.by.is_some(),
            file,
            days,
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
    /// The page, where one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    days: Vec<Day>,
    whole_since: Option<String>,
}
