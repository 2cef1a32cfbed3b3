//! Reads files whose names users and folders give: regular ones, of bounded size.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

/// A longer file is something else.
const MAX_BYTES: u64 = 1024 * 1024;

/// Why a file that is there can't be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    NotRegular,
    TooLarge,
    Io(io::Error),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The bytes of a file, and what the file system says of it. `None`: it does not exist.
pub(super) fn read(file: &Path) -> Result<Option<(Vec<u8>, Metadata)>, Unreadable> {
    let about = match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    // To open a pipe would wait for its writer.
    if !about.is_file() {
        return Err(Unreadable::NotRegular);
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Unreadable::TooLarge);
    }
    Ok(Some((bytes, about)))
}
