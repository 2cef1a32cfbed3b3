//! `sessctl status`: which migrations a database has.

use std::io;

use anyhow::Result;
use clap::Args as ClapArgs;
use serde::Serialize;
use serde_json::json;

use super::Context;
use crate::migrations::{self, History};
use crate::output::{Page, Report, Rows, Style, one_line};

/// Show each migration: applied when, pending, or changed since
#[derive(ClapArgs, Debug)]
pub struct Args {}

impl Args {
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let database = context.connect("status").await?;
        let history = History::read(&database).await?;
        database.close().await;
        Ok(Box::new(Status::of(&history)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Applied,
    Pending,
    /// Another text was applied under this version.
    Changed,
    /// Applied by a newer sessctl.
    Unknown,
}

#[derive(Serialize)]
struct Line {
    version: i32,
    name: String,
    state: State,
    applied_on: Option<String>,
}

#[derive(Serialize)]
struct Status {
    version: i32,
    /// A newer sessctl has been here.
    newer: bool,
    migrations: Vec<Line>,
}

impl Status {
    fn of(history: &History) -> Self {
        let applied = history.applied();
        let mut lines: Vec<Line> = migrations::all()
            .iter()
            .map(|migration| {
                let row = applied.iter().find(|a| a.version == migration.version());
                let state = match row {
                    None => State::Pending,
                    Some(row) if row.matches(migration) => State::Applied,
                    Some(_) => State::Changed,
                };
                Line {
                    version: migration.version(),
                    name: migration.name().to_owned(),
                    state,
                    applied_on: row.map(|row| row.applied_on.clone()),
                }
            })
            .collect();
        let newest = lines.last().map_or(0, |line| line.version);
        lines.extend(applied.iter().filter(|a| a.version > newest).map(|a| Line {
            version: a.version,
            name: a.name.clone(),
            state: State::Unknown,
            applied_on: Some(a.applied_on.clone()),
        }));
        Self {
            version: history.version(),
            newer: lines.iter().any(|line| line.state == State::Unknown),
            migrations: lines,
        }
    }
}

fn words(state: State) -> (&'static str, Style) {
    match state {
        State::Applied => ("applied", Style::Good),
        State::Pending => ("pending", Style::Warning),
        State::Changed => ("changed since it was applied", Style::Bad),
        State::Unknown => ("applied by a newer sessctl", Style::Bad),
    }
}

impl Report for Status {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        let rows = self.migrations.iter().map(|line| {
            let (word, style) = words(line.state);
            let when = line.applied_on.as_deref().unwrap_or_default();
            vec![
                format!("V{}", line.version),
                one_line(&line.name),
                out.paint(style, word),
                one_line(when.split('.').next().unwrap_or_default()),
            ]
        });
        let rows: Vec<Vec<String>> = rows.collect();
        out.grid(&["version", "name", "state", "applied on (UTC)"], rows)?;
        let pending = self
            .migrations
            .iter()
            .filter(|line| line.state == State::Pending)
            .count();
        let line = match (self.newer, pending) {
            (true, _) => "a newer sessctl has been here: install it".into(),
            (false, 0) => format!("the schema is at version {}", self.version),
            (false, n) => format!(
                "the schema is at version {}, {n} pending: run sessctl migrate",
                self.version
            ),
        };
        out.line(&line)
    }

    fn csv(&self) -> Option<Rows> {
        let rows = self.migrations.iter().map(|line| {
            vec![
                line.version.to_string(),
                line.name.clone(),
                json!(line.state).as_str().unwrap_or_default().into(),
                line.applied_on.clone().unwrap_or_default(),
            ]
        });
        Some((vec!["version", "name", "state", "applied_on"], rows.collect()))
    }
}
