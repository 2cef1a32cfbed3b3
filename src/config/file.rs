//! The file `sessctl.toml`: where it is found, and its text.

use std::env::VarError;
use std::fs::{self, Metadata};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::regular::{self, Unreadable};
use crate::failure::Failure;

const NAME: &str = "sessctl.toml";

/// Names the file where no flag does.
const VARIABLE: &str = "SESSCTL_CONFIG";

/// What only a connection string, a password or a key of the API has, in lower case.
const SECRETS: [&str; 7] = [
    "postgres://",
    "postgresql://",
    "password=",
    "passwd=",
    "sb_secret_",
    "sbp_",
    "eyjhbgcioi",
];

/// How a file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FoundBy {
    /// `--config`.
    Flag,
    /// `SESSCTL_CONFIG`.
    Environment,
    /// In the current folder or above.
    Folder,
}

/// A file of settings, without connection strings and secrets.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    /// As messages name it.
    pub(crate) path: String,
    pub(crate) found_by: FoundBy,
    pub(crate) text: String,
}

impl ConfigFile {
    /// The file that the flag names, else the environment, else the one in the current folder or above it, up to the folder
    /// that holds `.git`. Where none does, only the current folder is looked at.
    ///
    /// # Errors
    /// A file that is named and not there, that can't be read, or that holds a secret; never with anything of it.
    pub(crate) fn find(flag: Option<&Path>) -> Result<Option<Self>, Failure> {
        let named = match (flag, std::env::var(VARIABLE)) {
            (Some(path), _) => Some((path.to_owned(), FoundBy::Flag)),
            (None, Ok(path)) if !path.is_empty() => Some((path.into(), FoundBy::Environment)),
            (None, Err(VarError::NotUnicode(path))) => Some((path.into(), FoundBy::Environment)),
            _ => None,
        };
        if let Some((path, found_by)) = named {
            return match Self::read(&path, found_by)? {
                Some((file, _)) => Ok(Some(file)),
                None => Err(Failure::usage(format!("{} does not exist", shown(&path))).hint(format!(
                    "--config or {VARIABLE} names it: correct the path, or leave it out"
                ))),
            };
        }
        for path in candidates(std::env::current_dir().map_or(1, |folder| folder.ancestors().count())) {
            if let Some((file, about)) = Self::read(&path, FoundBy::Folder)? {
                file.refuse_other_owner(&about)?;
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    fn read(path: &Path, found_by: FoundBy) -> Result<Option<(Self, Metadata)>, Failure> {
        let shown = shown(path);
        let read = regular::read(path).map_err(|why| match why {
            Unreadable::NotRegular => Failure::usage(format!("{shown} is not a regular file")),
            Unreadable::TooLarge => Failure::usage(format!("{shown} is larger than 1 MB")),
            Unreadable::Io(error) => Failure::usage(format!("can't read {shown}"))
                .hint("give this user the right to read it, or name another file with --config")
                .because(error),
        })?;
        let Some((bytes, about)) = read else {
            return Ok(None);
        };
        let Ok(text) = String::from_utf8(bytes) else {
            return Err(Failure::usage(format!("{shown} is not UTF-8 text")).hint("save it as UTF-8"));
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
        let file = Self {
            path: shown,
            found_by,
            text,
        };
        match secret(&file.text) {
            Some(offset) => Err(file.secret_at(offset)),
            None => Ok(Some((file, about))),
        }
    }

    /// Nobody else may decide, by a file in a folder above, what a run deletes.
    fn refuse_other_owner(&self, about: &Metadata) -> Result<(), Failure> {
        let folder = fs::metadata(".").map_or(0, |folder| folder.uid());
        if self.path == NAME || [0, folder].contains(&about.uid()) {
            return Ok(());
        }
        Err(
            Failure::usage(format!("{} belongs to another user than the current folder", self.path))
                .hint(format!("if it is yours, name it: --config {}", self.path)),
        )
    }

    /// The line, from 1, of a place in the text.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.before(offset).matches('\n').count() + 1
    }

    /// A refusal that names a place in the text: `sessctl.toml:4:11: …`.
    pub(crate) fn refusal(&self, span: Option<Range<usize>>, what: &str) -> Failure {
        let Some(Range { start, .. }) = span else {
            return Failure::usage(format!("{}: {what}", self.path));
        };
        let column = self.before(start).chars().rev().take_while(|c| *c != '\n').count() + 1;
        Failure::usage(format!("{}:{}:{column}: {what}", self.path, self.line(start)))
    }

    /// The refusal of a connection string, a password or a key of the API.
    pub(crate) fn secret_at(&self, offset: usize) -> Failure {
        let what = "a connection string or a secret may not be in this file";
        self.refusal(Some(offset..offset), what).hint(
            "others can read the file in the repository: remove it, set DATABASE_URL in the environment or in a .env file, \
             and replace a password that was committed",
        )
    }

    fn before(&self, offset: usize) -> &str {
        self.text.get(..offset).unwrap_or(&self.text)
    }
}

/// A path for messages. It may be a connection string that was given by mistake.
fn shown(path: &Path) -> String {
    let path = path.to_string_lossy();
    match ["://", "@", "pass", "host="].iter().any(|mark| path.contains(mark)) {
        true => "the file of settings".to_owned(),
        false => path.into_owned(),
    }
}

/// Where the file may be, the nearest first. `depth`: how many folders there are from the current one to the root.
fn candidates(depth: usize) -> Vec<PathBuf> {
    let folders: Vec<PathBuf> = (0..depth).map(|level| "../".repeat(level).into()).collect();
    let root = folders
        .iter()
        .position(|folder| folder.join(".git").symlink_metadata().is_ok());
    let searched = folders.iter().take(root.unwrap_or_default() + 1);
    searched.map(|folder| folder.join(NAME)).collect()
}

/// Where a text has a connection string or a secret, comments included.
fn secret(text: &str) -> Option<usize> {
    // Blanks count as none before `=`, as in `password = "…"`; each character keeps its length.
    let lower = text.to_ascii_lowercase();
    let marks = SECRETS.iter().filter_map(|mark| match mark.strip_suffix('=') {
        None => lower.find(mark),
        Some(name) => lower
            .match_indices(name)
            .find(|(offset, _)| {
                lower[offset + name.len()..]
                    .trim_start_matches([' ', '\t', '"', '\''])
                    .starts_with('=')
            })
            .map(|(offset, _)| offset),
    });
    // A user and a password in any URL.
    let urls = lower.match_indices("://").filter_map(|(offset, _)| {
        let rest = &lower[offset + 3..];
        let end = rest
            .find(|c: char| c.is_whitespace() || "\"'/".contains(c))
            .unwrap_or(rest.len());
        rest[..end].contains('@').then_some(offset)
    });
    marks.chain(urls).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_wherever_they_are() {
        for text in [
            "url = \"postgresql://u:p@h/d\"",
            "# POSTGRES://h",
            "a = 1\n[x]\nPassword = \"p\"",
            "dsn = 'host=h password = p'",
            "\"password\" = 1",
            "x = ['mysql://u:p@h']",
            "k = 'sb_secret_1'",
            "k = 'eyJhbGciOiJIUzI1NiJ9.x.y'",
        ] {
            assert!(secret(text).is_some(), "{text}");
        }
        for text in [
            "",
            "# see https://example.org/a@b",
            "# no password here\nminutes = 5",
            "allow = [\"policy:password\"]",
            "é = \"passwort\"",
        ] {
            assert_eq!(secret(text), None, "{text}");
        }
    }

    #[test]
    fn a_place_is_a_line_and_a_column_in_characters() {
        let file = ConfigFile {
            path: NAME.into(),
            found_by: FoundBy::Folder,
            text: "a = 1\né = ü x\n".into(),
        };
        let at = file.text.find('x');
        assert_eq!(
            file.refusal(at.map(|at| at..at), "no").to_string(),
            "sessctl.toml:2:7: no"
        );
        assert_eq!(file.refusal(None, "no").to_string(), "sessctl.toml: no");
        assert_eq!(file.line(999), 3);
    }
}
