//! The folder of the supabase CLI's migrations: what is in it, and a new file.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use crate::failure::Failure;

/// Digits of the timestamps that the supabase CLI gives its files, and their format.
const DIGITS: usize = 14;
const FORMAT: &str = "%Y%m%d%H%M%S";

/// A migration in the folder.
pub(super) struct Found {
    pub(super) name: String,
    /// The digits that it begins with.
    timestamp: String,
    /// Where sessctl wrote it.
    pub(super) version: Option<i32>,
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

/// The migrations in a folder of the supabase CLI.
///
/// # Errors
/// A folder that is not there, or can't be read.
pub(super) fn look(folder: &Path) -> Result<Vec<Found>, Failure> {
    let explain = |error: io::Error| {
        let failure = Failure::usage(format!("can't read folder {}: {error}", folder.display()));
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => failure.hint(
                "name the folder of the supabase CLI's migrations: supabase/migrations below the project's root; \
                 supabase init and mkdir make it",
            ),
            _ => failure,
        }
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(explain)? {
        found.extend(Found::read(&entry.map_err(explain)?.file_name()));
    }
    Ok(found)
}

/// The whole file or none, and never over another one.
///
/// # Errors
/// A file that is there, or can't be written.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written = (|| {
        let mut file = tempfile::Builder::new()
            .prefix(".sessctl-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(path.parent().unwrap_or(Path::new(".")))?;
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

/// A timestamp after those of all files: the supabase CLI applies them in the order of their names.
///
/// # Errors
/// No timestamp comes after those that are there.
pub(super) fn timestamp(now: DateTime<Utc>, found: &[Found]) -> Result<String, Failure> {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_came_meanwhile_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("20300101000000_sessctl_v14.sql");
        write(&path, "first").unwrap();
        let failure = write(&path, "second").unwrap_err();
        assert_eq!(failure.code(), crate::failure::exit::FAILED);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "a temporary file is left"
        );
    }
}
