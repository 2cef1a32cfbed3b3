//! The keys of `sessctl.toml`, what each may be, and what holds without it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::end_inactive::EndedAt;
use crate::archive::Command;
use crate::config::{ConfigFile, FoundBy, Reader, Setting, Written, Wrong};
use crate::failure::Failure;
use crate::maintenance::{ANONYMIZE, Address, CLEANUP, END_INACTIVE, Kept};
use crate::ping::Style;
use crate::schema::{Allowed, Declared, OptionalIndex, WITHOUT_INDEXES};

/// What is in force where no flag says otherwise.
#[derive(Debug)]
pub struct Settings {
    /// Of the table: each list that is given, by key.
    pub(super) declared: Declared,
    pub(super) minutes: i32,
    pub(super) include_idle: bool,
    pub(super) ended_at: EndedAt,
    pub(super) anonymize_days: i32,
    pub(super) anonymize_ip: Address,
    pub(super) anonymize_keep: Vec<Kept>,
    pub(super) days: i32,
    pub(super) keep_referenced: bool,
    /// Empty: none.
    pub(super) archive: String,
    pub(super) archive_command: String,
    pub(super) archive_without_addresses: bool,
    /// The names of the variables with the URLs of pings; empty: SESSCTL_PING_URL.
    pub(super) ping_end_inactive: String,
    pub(super) ping_anonymize: String,
    pub(super) ping_cleanup: String,
    pub(super) ping_style: Style,
    pub(super) strict: bool,
    pub(super) allow: Vec<Allowed>,
    /// The same, a key each.
    pub(super) list: Vec<Setting>,
    /// The file, if there is one, and how it was found.
    pub(super) file: Option<(String, FoundBy)>,
}

impl Settings {
    /// The folder of the archive. A path in the file begins at the file's folder.
    pub(super) fn archive_dir(&self) -> Option<PathBuf> {
        if self.archive.is_empty() {
            return None;
        }
        let dir = PathBuf::from(&self.archive);
        let is_of_file = self
            .list
            .iter()
            .any(|setting| setting.key == "cleanup.archive" && setting.source.word() == "file");
        let above = self
            .file
            .as_ref()
            .filter(|_| is_of_file)
            .and_then(|(path, _)| Path::new(path).parent());
        Some(above.map_or(dir.clone(), |above| above.join(dir)))
    }

    /// Refuses a command of a file that was found in a folder and is another user's: it would run with this user's rights.
    ///
    /// # Errors
    /// It is so.
    pub(super) fn refuse_others_command(&self) -> Result<(), Failure> {
        let is_of_file =
            |setting: &&Setting| setting.key == "cleanup.archive-command" && setting.source.word() == "file";
        match &self.file {
            Some((path, FoundBy::Folder)) if self.list.iter().any(|setting| is_of_file(&setting)) => {
                let owner = std::fs::metadata(path).map_or(u32::MAX, |about| about.uid());
                match [0, geteuid().as_raw()].contains(&owner) {
                    true => Ok(()),
                    false => Err(
                        Failure::usage(format!("{path} belongs to another user, and has a command to run"))
                            .hint(format!("if you trust it, name it: --config {path}")),
                    ),
                }
            }
            _ => Ok(()),
        }
    }

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
            anonymize_days: reader.get(
                "anonymize.days",
                |value| value.number(&ANONYMIZE.range),
                ANONYMIZE.threshold,
            )?,
            anonymize_ip: reader.get("anonymize.ip", |value| value.choice(), Address::default())?,
            anonymize_keep: reader.get("anonymize.keep", |value| value.list(), Vec::new())?,
            days: reader.get("cleanup.days", |value| value.number(&CLEANUP.range), CLEANUP.threshold)?,
            keep_referenced: reader.get("cleanup.keep-referenced", |value| value.flag(), false)?,
            archive: reader.get("cleanup.archive", |value| value.text(), String::new())?,
            archive_command: reader.get("cleanup.archive-command", archive_command, String::new())?,
            archive_without_addresses: reader.get("cleanup.archive-without-addresses", |value| value.flag(), false)?,
            ping_end_inactive: reader.get("ping.end-inactive", variable, String::new())?,
            ping_anonymize: reader.get("ping.anonymize", variable, String::new())?,
            ping_cleanup: reader.get("ping.cleanup", variable, String::new())?,
            ping_style: reader.get("ping.style", |value| value.choice(), Style::default())?,
            strict: reader.get("verify.strict", |value| value.flag(), false)?,
            allow: reader.get("verify.allow", |value| value.list(), Vec::new())?,
            list: reader.finish()?,
            file: file.map(|file| (file.path, file.found_by)),
        })
    }
}

/// A command that can be understood; an empty one is none.
fn archive_command(value: &Written<'_>) -> Result<String, Wrong> {
    let text = value.text()?;
    match text.is_empty() {
        true => Ok(text),
        false => Command::parse(&text).map(|_| text).map_err(Wrong::new),
    }
}

/// The name of a variable of the environment; an empty one is none.
fn variable(value: &Written<'_>) -> Result<String, Wrong> {
    let name = value.text()?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match name.chars().all(is_name) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        true => Ok(name),
        false => Err(Wrong::new(
            "must be the name of a variable of the environment, which has the URL: the URL itself is a credential",
        )),
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
