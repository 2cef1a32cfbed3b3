//! `sessctl summary`: who is active now, by platform.

use std::io;

use anyhow::Result;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args as ClapArgs;
use serde::{Deserialize, Deserializer, Serialize};

use super::Context;
use crate::output::{Page, Report, Rows, Style, Text, count, span};

/// The width of the bar that shows a platform's share.
const BAR_WIDTH: u64 = 20;

/// Show who is active now, by platform
#[derive(ClapArgs, Debug)]
pub struct Args {}

impl Args {
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let database = context.connect("summary").await?;
        let found: Found = database.ask(include_str!("summary.sql"), &[], "summary failed").await?;
        database.close().await;
        if found.filtered {
            context.terminal.warn(
                "row level security applies to this role, and hides sessions from it: use postgres, or a role with BYPASSRLS",
            );
        }
        Ok(Box::new(Summary {
            now: found.now,
            total_active: found.platforms.iter().map(|platform| platform.active_count).sum(),
            platforms: found.platforms,
        }))
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
    platforms: Vec<Platform>,
    total_active: u64,
}

/// A row of the view. Its times are texts: clients can write ones that no calendar here holds.
#[derive(Deserialize, Serialize)]
struct Platform {
    platform: String,
    active_count: u64,
    avg_session_minutes: f64,
    #[serde(deserialize_with = "utc")]
    oldest_session: Option<String>,
    #[serde(deserialize_with = "utc")]
    latest_activity: Option<String>,
}

impl Summary {
    /// How long ago, in words; a time that no calendar holds stays as it is.
    fn ago(&self, time: Option<&str>) -> String {
        let Some(time) = time else {
            return "never".into();
        };
        match DateTime::parse_from_rfc3339(time) {
            Ok(then) => match (self.now - then.with_timezone(&Utc)).num_seconds() {
                seconds @ ..-60 => format!("in {}", span(-seconds)),
                seconds => format!("{} ago", span(seconds)),
            },
            Err(_) => time.to_owned(),
        }
    }
}

/// A time as RFC 3339 in UTC; one that no calendar here holds stays as it is.
fn utc<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let time = Option::<String>::deserialize(deserializer)?;
    Ok(time.map(|time| match DateTime::parse_from_rfc3339(&time) {
        Ok(parsed) => parsed.with_timezone(&Utc).to_rfc3339_opts(SecondsFormat::Micros, true),
        Err(_) => time,
    }))
}

#[allow(clippy::cast_possible_truncation)]
fn minutes(minutes: f64) -> String {
    span((minutes * 60.0) as i64)
}

impl Report for Summary {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        if self.platforms.is_empty() {
            return out.line("no session is active");
        }
        let mut header = vec!["platform", "active", "average age", "oldest", "latest activity"];
        if out.styled() {
            header.push("share");
        }
        let mut rows: Vec<Vec<Text>> = Vec::new();
        for row in &self.platforms {
            let mut cells: Vec<Text> = vec![
                row.platform.as_str().into(),
                count(row.active_count).into(),
                minutes(row.avg_session_minutes).into(),
                self.ago(row.oldest_session.as_deref()).into(),
                self.ago(row.latest_activity.as_deref()).into(),
            ];
            if out.styled() {
                let filled = row.active_count * BAR_WIDTH / self.total_active.max(1);
                let bar = "█".repeat(usize::try_from(filled.max(1)).unwrap_or(1));
                cells.push(out.paint(Style::Good, &bar));
            }
            rows.push(cells);
        }
        rows.push(vec![
            out.paint(Style::Bold, "total"),
            out.paint(Style::Bold, &count(self.total_active)),
        ]);
        out.grid(&header, rows)
    }

    fn csv(&self) -> Option<Rows> {
        let header = vec![
            "platform",
            "active_count",
            "avg_session_minutes",
            "oldest_session",
            "latest_activity",
        ];
        let rows = self.platforms.iter().map(|row| {
            vec![
                row.platform.clone(),
                row.active_count.to_string(),
                row.avg_session_minutes.to_string(),
                row.oldest_session.clone().unwrap_or_default(),
                row.latest_activity.clone().unwrap_or_default(),
            ]
        });
        Some((header, rows.collect()))
    }
}
