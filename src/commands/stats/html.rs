//! The statistics as a page.

use std::path::Path;

use anyhow::Result;

use super::Scope;
use super::days::{Found, Group};
use crate::database::Database;
use crate::failure::Failure;
use crate::html::Document;
use crate::maintenance::{JobState, RunOf, jobs, last_runs};
use crate::output::{Terminal, replace};
use crate::schema::Sizes;

/// Reads what else belongs to the page, and writes the file as a whole. What this role may not read is absent, with a warning.
///
/// # Errors
/// The connection ended, or the file can't be written.
pub(super) async fn write(
    file: &Path,
    terminal: &Terminal,
    database: &Database,
    [all, platforms, reasons]: [&Found; 3],
    scope: &Scope,
) -> Result<String> {
    fn readable<T>(read: Result<Option<T>, Failure>, database: &Database, terminal: &Terminal) -> Result<Option<T>> {
        match read {
            Err(failure) if database.is_closed() => Err(failure.into()),
            Err(failure) => {
                terminal.warn(&failure.to_string());
                Ok(None)
            }
            Ok(found) => Ok(found),
        }
    }
    let facts = Facts {
        all,
        platforms: platforms.groups(),
        reasons: reasons.groups(),
        zone: scope.zone.clone().unwrap_or_default(),
        whole_since: scope.whole_since.clone(),
        filtered: scope.filtered,
        sizes: readable(Sizes::read(database).await, database, terminal)?,
        jobs: readable(jobs(database).await, database, terminal)?,
        runs: readable(last_runs(database).await, database, terminal)?,
    };
    replace(file, &facts.page()?).map_err(|error| {
        Failure::new(format!("can't write {}: {error}", file.display()))
            .hint("its folder must exist, and you must be allowed to write there; a file that was there is as it was")
            .because(error)
    })?;
    Ok(file.display().to_string())
}

/// What a page shows. What this role may not read is absent.
pub(super) struct Facts<'a> {
    pub(super) all: &'a Found,
    pub(super) platforms: Vec<Group>,
    pub(super) reasons: Vec<Group>,
    pub(super) zone: String,
    pub(super) whole_since: Option<String>,
    pub(super) filtered: bool,
    pub(super) sizes: Option<Sizes>,
    pub(super) jobs: Option<Vec<JobState>>,
    pub(super) runs: Option<Vec<RunOf>>,
}

impl Facts<'_> {
    /// The whole page.
    ///
    /// # Errors
    /// A chart can't be drawn.
    pub(super) fn page(&self) -> Result<String> {
        let days = &self.all.days;
        let (first, last) = (
            days.first().map_or("", String::as_str),
            days.last().map_or("", String::as_str),
        );
        let title = format!("Sessions from {first} to {last}");
        let now = self.all.now.format("%F %T");
        let mut page = Document::new(
            &title,
            &format!(
                "Days in {}. Made by sessctl at {now} UTC; the last day is not over.",
                self.zone
            ),
        );
        if self.filtered {
            page.paragraph("Row level security hides sessions from the role that made this page: the numbers are not those of all.");
        }
        if let Some(since) = self.whole_since.as_deref().filter(|since| first < *since) {
            page.paragraph(&format!("Cleanup has deleted sessions of days before {since}."));
        }
        let all = self.all.groups();
        match all.first() {
            None => page.paragraph(&match days.len() {
                1 => format!("No session started on {last}."),
                days => format!("No session started in these {days} days."),
            }),
            Some(all) => self.charts(&mut page, &all.days)?,
        }
        self.sizes(&mut page);
        self.maintenance(&mut page);
        Ok(page.finish())
    }
}
