//! The keys of `sessctl.toml`, what each may be, and what holds without it.

use std::path::Path;

use super::end_inactive::EndedAt;
use crate::config::{ConfigFile, FoundBy, Reader, Setting, Written, Wrong};
use crate::failure::Failure;
use crate::maintenance::{CLEANUP, END_INACTIVE};
use crate::schema::{Allowed, Declared, OptionalIndex, WITHOUT_INDEXES};

/// What is in force where no flag says otherwise.
#[derive(Debug)]
pub struct Settings {
    /// Of the table: each list that is given, by key.
    pub(super) declared: Declared,
    pub(super) minutes: i32,
    pub(super) include_idle: bool,
    pub(super) ended_at: EndedAt,
    pub(super) days: i32,
    pub(super) keep_referenced: bool,
    pub(super) strict: bool,
    pub(super) allow: Vec<Allowed>,
    /// The same, a key each.
    pub(super) list: Vec<Setting>,
    /// The file, if there is one, and how it was found.
    pub(super) file: Option<(String, FoundBy)>,
}

impl Settings {
    /// Reads the environment and the file that the flag names, or the one that is found.
    ///
    /// # Errors
    /// A value or a key that does not exist, or a file that can't be read.
    pub(super) fn read(flag: Option<&Path>) -> Result<Self, Failure> {
        let file = ConfigFile::find(flag)?;
        let mut reader = Reader::new(file.as_ref())?;
        let platforms: Option<Vec<String>> = reader.get("table.platforms", |value| value.list().map(Some), None)?;
        let end_reasons = reader.get("table.end-reasons", |value| end_reasons(value).map(Some), None)?;
        let without: Option<Vec<OptionalIndex>> =
            reader.get("table.without-indexes", |value| value.list().map(Some), None)?;
        let without = without.map(|list| list.iter().map(ToString::to_string).collect());
        let lists = [
            ("platforms", platforms),
            ("end-reasons", end_reasons),
            (WITHOUT_INDEXES, without),
        ];
        Ok(Self {
            declared: lists
                .into_iter()
                .filter_map(|(key, list)| Some((key.to_owned(), list?)))
                .collect(),
            minutes: reader.get(
                "end-inactive.minutes",
                |value| value.number(&END_INACTIVE.range),
                END_INACTIVE.threshold,
            )?,
            include_idle: reader.get("end-inactive.include-idle", |value| value.flag(), false)?,
            ended_at: reader.get("end-inactive.ended-at", |value| value.choice(), EndedAt::Now)?,
            days: reader.get("cleanup.days", |value| value.number(&CLEANUP.range), CLEANUP.threshold)?,
            keep_referenced: reader.get("cleanup.keep-referenced", |value| value.flag(), false)?,
            strict: reader.get("verify.strict", |value| value.flag(), false)?,
            allow: reader.get("verify.allow", |value| value.list(), Vec::new())?,
            list: reader.finish()?,
            file: file.map(|file| (file.path, file.found_by)),
        })
    }
}

/// Maintenance writes `timeout`.
fn end_reasons(value: &Written<'_>) -> Result<Vec<String>, Wrong> {
    let list: Vec<String> = value.list()?;
    match list.iter().any(|reason| reason == "timeout") {
        true => Ok(list),
        false => Err(Wrong::new("must have \"timeout\": maintenance ends sessions with it")),
    }
}
