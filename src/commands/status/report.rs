//! How `sessctl status` shows the migrations and the sizes.

use std::io;

use serde_json::json;

use super::{State, Status};
use crate::output::{Page, Report, Rows, Style, Text, size};
use crate::schema::{ADOPT, UNRECORDED};

fn words(state: State) -> (&'static str, Style) {
    match state {
        State::Applied => ("applied", Style::Good),
        State::Pending => ("pending", Style::Warning),
        State::Changed => ("changed since it was applied", Style::Bad),
        State::Unknown => ("applied by a newer sessctl", Style::Bad),
    }
}

impl Status {
    /// The migrations: those that are not applied, or all.
    fn migrations(&self, out: &mut Page<'_>) -> io::Result<()> {
        let listed = |state| self.lists_all || state != State::Applied;
        let rows = self.migrations.iter().filter(|line| listed(line.state)).map(|line| {
            let (word, style) = words(line.state);
            let when = line.applied_on.as_deref().unwrap_or_default();
            vec![
                format!("V{}", line.version).into(),
                line.name.as_str().into(),
                out.paint(style, word),
                when.split('.').next().unwrap_or_default().into(),
            ]
        });
        let rows: Vec<Vec<Text>> = rows.collect();
        match rows.is_empty() {
            true => Ok(()),
            false => out.grid(&["version", "name", "state", "applied on (UTC)"], rows),
        }
    }

    fn version_line(&self) -> String {
        let of = |state| self.migrations.iter().filter(|line| line.state == state).count();
        let at = format!("the schema is at version {}", self.version);
        match (of(State::Pending), of(State::Changed)) {
            _ if self.newer => "a newer sessctl has been here: install it".into(),
            (0, 0) => format!("{at}, up to date"),
            (0, 1) => format!("{at}, and a migration changed after it was applied: run sessctl verify"),
            (0, changed) => {
                format!("{at}, and {changed} migrations changed after they were applied: run sessctl verify")
            }
            (pending, _) => format!("{at}, {pending} pending: run sessctl migrate"),
        }
    }

    fn sizes(&self, out: &mut Page<'_>) -> io::Result<()> {
        let Some(sizes) = &self.sizes else {
            return Ok(());
        };
        let mut rows: Vec<Vec<Text>> = vec![vec!["public.user_sessions".into(), size(sizes.table_bytes).into()]];
        let indexes = sizes.indexes.iter();
        rows.extend(indexes.map(|index| vec![index.name.as_str().into(), size(index.bytes).into()]));
        rows.push(
            ["total", &size(sizes.total())]
                .map(|cell| out.paint(Style::Bold, cell))
                .into(),
        );
        out.line("")?;
        out.grid(&["table and indexes", "size"], rows)
    }
}

impl Report for Status {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        if self.unrecorded {
            return out.line(format!("{UNRECORDED}: {ADOPT}"));
        }
        self.migrations(out)?;
        out.line(self.version_line())?;
        if self.version > 0 {
            out.line("")?;
            self.jobs(out)?;
        }
        self.sizes(out)
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
