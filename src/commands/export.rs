//! `sessctl export`: the schema as a migration of the supabase CLI.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use clap::{Args as ClapArgs, ValueHint};
use serde::Serialize;

use super::Context;
use crate::failure::Failure;
use crate::migrations::{all, declares, export};
use crate::output::{Page, Report, Style};

/// Digits of the timestamps that the supabase CLI gives its files, and their format.
const DIGITS: usize = 14;
const FORMAT: &str = "%Y%m%d%H%M%S";

/// Write the schema as a migration of the supabase CLI
///
/// The file makes the table where it is missing or empty, does nothing where `sessctl migrate` has been, and fails elsewhere before
/// any change. A later release writes a file with what is new. Other files are never changed.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Example: sessctl export supabase/migrations")]
pub struct Args {
    /// Folder of the migrations, such as supabase/migrations
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    folder: PathBuf,
}

/// What was written.
#[derive(Serialize)]
struct Exported {
    /// The new file; null where there is nothing new.
    file: Option<String>,
    /// The newest file of an earlier export, if there is one.
    previous: Option<String>,
    /// The version that the files of the folder bring.
    version: i32,
}

/// A migration in the folder.
struct Found {
    name: String,
    /// The digits that it begins with.
    timestamp: String,
    /// Where sessctl wrote it.
    version: Option<i32>,
}

impl Found {
    /// Of another name the supabase CLI takes no notice either.
    fn read(name: &OsStr) -> Option<Self> {
        let name = name.to_string_lossy().into_owned();
        let (timestamp, rest) = name.strip_suffix(".sql")?.split_once('_')?;
        let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        let version = rest.strip_prefix("sessctl_v").filter(|text| is_number(text));
        is_number(timestamp).then(|| Self {
            timestamp: timestamp.to_owned(),
            version: version.and_then(|version| version.parse().ok()),
            name: name.clone(),
        })
    }
}

impl Args {
    /// # Errors
    /// A folder that is not there or can't be written, or settings that can't be understood.
    pub fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let declared = context.settings()?.declared;
        let found = self.look()?;
        let previous = found.iter().filter_map(|file| Some((file.version?, file)));
        let previous = previous.max_by_key(|(version, _)| *version);
        let after = previous.map_or(0, |(version, _)| version);
        let previous = previous.map(|(_, file)| file.name.clone());
        let ours = all();
        let newest = ours.last().map_or(0, |migration| migration.version());
        let mut exported = Exported {
            file: None,
            previous,
            version: after.max(newest),
        };
        if after < newest {
            let timestamp = timestamp(Utc::now(), &found)?;
            let file = self.folder.join(format!("{timestamp}_sessctl_v{newest}.sql"));
            self.write(&file, &export(&ours, after, &declared, &timestamp))?;
            exported.file = Some(file.display().to_string());
        } else if let Some(previous) = &exported.previous
            && after == newest
            && !fs::read_to_string(self.folder.join(previous)).is_ok_and(|text| declares(&text, &declared))
        {
            context.terminal.warn(&format!(
                "{previous} was written with another declaration than that in force; sessctl migrate applies it"
            ));
        }
        Ok(Box::new(exported))
    }

    fn look(&self) -> Result<Vec<Found>, Failure> {
        let explain = |error: io::Error| {
            let failure = Failure::usage(format!("can't read folder {}: {error}", self.folder.display()));
            match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => failure.hint(
                    "name the folder of the supabase CLI's migrations: supabase/migrations below the project's root; \
                     supabase init and mkdir make it",
                ),
                _ => failure,
            }
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(explain)? {
            found.extend(Found::read(&entry.map_err(explain)?.file_name()));
        }
        Ok(found)
    }

    /// The whole file or none, and never over another one.
    fn write(&self, path: &Path, text: &str) -> Result<(), Failure> {
        let written = (|| {
            let mut file = tempfile::Builder::new()
                .prefix(".sessctl-")
                .permissions(Permissions::from_mode(0o666))
                .tempfile_in(&self.folder)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist_noclobber(path).map_err(|error| error.error)?;
            Ok(())
        })();
        written.map_err(|error: io::Error| {
            let failure = Failure::new(format!("can't write {}: {error}", path.display()));
            match error.kind() {
                io::ErrorKind::AlreadyExists => failure.hint("nothing was changed: run sessctl export again"),
                _ => failure,
            }
        })
    }
}

/// A timestamp after those of all files: the supabase CLI applies them in the order of their names.
fn timestamp(now: DateTime<Utc>, found: &[Found]) -> Result<String, Failure> {
    let now = now.format(FORMAT).to_string();
    let Some(last) = found.iter().max_by(|a, b| a.timestamp.cmp(&b.timestamp)) else {
        return Ok(now);
    };
    if last.timestamp < now {
        return Ok(now);
    }
    let time = NaiveDateTime::parse_from_str(&last.timestamp, FORMAT).ok();
    let time = time.filter(|_| last.timestamp.len() == DIGITS);
    let next = time.and_then(|time| time.checked_add_signed(TimeDelta::seconds(1)));
    let next = next.map(|time| time.format(FORMAT).to_string());
    next.filter(|next| next.len() == DIGITS).ok_or_else(|| {
        Failure::new(format!(
            "{} comes after every timestamp: no migration can follow it",
            last.name
        ))
        .hint("rename it to begin with the 14 digits of a time, as supabase migration new does")
    })
}

impl Report for Exported {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        let line = match (&self.file, &self.previous) {
            (Some(file), None) => format!("wrote {file}: the schema at version {}", self.version),
            (Some(file), Some(previous)) => {
                format!("wrote {file}: from {previous} to version {}", self.version)
            }
            (None, previous) => format!(
                "nothing new: {} is at version {}",
                previous.as_deref().unwrap_or_default(),
                self.version
            ),
        };
        out.line(out.paint(Style::Good, &line))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_came_meanwhile_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let args = Args {
            folder: folder.path().to_owned(),
        };
        let path = folder.path().join("20300101000000_sessctl_v14.sql");
        args.write(&path, "first").unwrap();
        let failure = args.write(&path, "second").unwrap_err();
        assert_eq!(failure.code(), crate::failure::exit::FAILED);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "a temporary file is left"
        );
    }
}
