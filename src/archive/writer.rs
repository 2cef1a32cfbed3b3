//! Rows in, parts out: one part for each month in which the rows ended.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike};

use super::WriteError;
use super::columns::{Columns, micros};
use super::folder::Folder;
use super::part::{Finished, Part};

/// How much memory the rows of all parts may take before some are written.
const MAX_BUFFERED: usize = 16 * 1024 * 1024;

/// How many parts may be open: each is a file.
const MAX_MONTHS: usize = 100;

/// The year from which on each month has a folder of its own. Clients can write any time: those before share one.
const FIRST_YEAR: i32 = 2000;

/// The month of everything before it: sorts before all others.
const EARLIER: &str = "0000-00";

/// A row of the table, its values as texts in the order of the columns.
pub(crate) struct Row<'a> {
    /// Its place, and what tells its version.
    pub(crate) row_id: &'a str,
    pub(crate) row_version: &'a str,
    pub(crate) values: Vec<Option<&'a str>>,
}

/// Writes the parts of one round. What is not finished goes with the value.
pub(crate) struct Writer {
    columns: Columns,
    folder: Folder,
    parts: BTreeMap<String, Part>,
    rows: u64,
}

impl Writer {
    pub(crate) fn new(columns: Columns, folder: Folder) -> Self {
        Self {
            columns,
            folder,
            parts: BTreeMap::new(),
            rows: 0,
        }
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// How many rows it has taken.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes a row, or leaves it for another round where too many months are open.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn push(&mut self, row: &Row<'_>) -> Result<(), WriteError> {
        let ended_at = row.values.get(self.columns.ended_at).copied().flatten();
        let month = month(ended_at.and_then(micros));
        if !self.parts.contains_key(&month) {
            if self.parts.len() == MAX_MONTHS {
                return Ok(());
            }
            let file = self.folder.temporary()?;
            let path = file.path().to_owned();
            let part = Part::new(month.clone(), &self.columns, file);
            let part = part.map_err(|error| WriteError::new("write", &path, error))?;
            self.parts.insert(month.clone(), part);
        }
        if let Some(part) = self.parts.get_mut(&month) {
            part.push(&self.columns, row.row_id, row.row_version, &row.values);
            self.rows += 1;
        }
        while self.parts.values().map(|part| part.buffer.bytes()).sum::<usize>() > MAX_BUFFERED {
            // The fullest one makes the largest row group.
            let Some(part) = self.parts.values_mut().max_by_key(|part| part.buffer.bytes()) else {
                break;
            };
            part.flush()
                .map_err(|error| WriteError::new("write", &part.path(), error))?;
        }
        Ok(())
    }

    /// Gives each part its name, once it is on the disk.
    ///
    /// # Errors
    /// The disk's. No part stays then.
    pub(crate) fn finish(self) -> Result<Vec<Finished>, WriteError> {
        let finish = |part: Part| {
            let path = part.path();
            let closed = part.close().map_err(|error| WriteError::new("write", &path, error))?;
            self.folder.name(closed)
        };
        self.parts.into_values().map(finish).collect()
    }
}

/// The month in which a session ended, from microseconds since 1970.
fn month(ended_at: Option<i64>) -> String {
    match ended_at.and_then(DateTime::from_timestamp_micros) {
        Some(time) if time.year() >= FIRST_YEAR => format!("{:04}-{:02}", time.year(), time.month()),
        _ => EARLIER.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_that_of_the_end_and_what_no_calendar_of_sessions_has_shares_one() {
        for (micros, name) in [
            (Some(1_787_000_000_000_000), "2026-08"),
            (Some(946_684_800_000_000), "2000-01"),
            (Some(946_684_799_999_999), "0000-00"),
            (Some(-62_135_596_800_000_000), "0000-00"),
            (Some(i64::MIN), "0000-00"),
            (Some(i64::MAX), "0000-00"),
            (None, "0000-00"),
        ] {
            assert_eq!(month(micros), name, "{micros:?}");
        }
    }
}
