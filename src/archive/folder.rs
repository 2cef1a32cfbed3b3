//! The folder of an archive: temporary files, the names of parts, and what dead runs left.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::{Builder, NamedTempFile};

use super::WriteError;
use super::columns::MONTH;
use super::lock::Lock;
use super::part::{Closed, Finished};
use crate::failure::Failure;

/// Sessions are personal data: what is made here is this user's alone.
const PRIVATE: u32 = 0o700;

/// A folder that a run writes parts to. What is temporary goes with the last of its clones.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
    run: String,
    /// The number of the next part.
    next: Arc<AtomicU32>,
    /// Holds the temporary files.
    lock: Arc<Lock>,
}

impl Folder {
    /// Makes the folder where it is missing, but none above it; removes what dead runs left; makes sure that files can be written.
    ///
    /// # Errors
    /// It is no folder, or can't be written to.
    pub(crate) fn open(dir: &Path, run: &str) -> Result<Self, Failure> {
        let refused = |error: io::Error| {
            let failure = Failure::new(format!("archive: can't use folder {}: {error}", dir.display()));
            failure.hint(match error.kind() {
                ErrorKind::NotFound => "the folder above it is missing: make it first, in case a disk is not mounted",
                _ => "name a folder that this user may write to; nothing was deleted",
            })
        };
        match DirBuilder::new().mode(PRIVATE).create(dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(refused(error)),
            _ => {}
        }
        // Where it is a link, the run stays with the folder that it leads to now.
        let dir = dir.canonicalize().map_err(refused)?;
        let lock = Lock::take(&dir, run).map_err(refused)?;
        Ok(Self {
            dir,
            run: run.to_owned(),
            next: Arc::new(AtomicU32::new(1)),
            lock: Arc::new(lock),
        })
    }

    /// The folder's path, without links.
    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    /// A new temporary file.
    pub(super) fn temporary(&self) -> Result<NamedTempFile, WriteError> {
        let file = Builder::new()
            .prefix("part-")
            .suffix(".tmp")
            .tempfile_in(self.lock.path());
        file.map_err(|error| WriteError::new("make a file in", self.lock.path(), error))
    }

    /// Gives a complete part its name, which no file has, and flushes the names to the disk.
    pub(super) fn name(&self, closed: Closed) -> Result<Finished, WriteError> {
        let Closed {
            month,
            file,
            sessions,
            rows,
            bytes,
        } = closed;
        let folder = format!("{MONTH}={month}");
        let month = self.dir.join(&folder);
        match DirBuilder::new().mode(PRIVATE).create(&month) {
            Ok(()) => sync(&self.dir)?,
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(WriteError::new("make folder", &month, error));
            }
            Err(_) => {}
        }
        if fs::symlink_metadata(&month).is_ok_and(|about| about.is_symlink()) {
            return Err(WriteError::new(
                "write to",
                &month,
                "it is a link: another user may have made it",
            ));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let relative = format!("{folder}/part-{}-{number}.parquet", self.run);
        let path = self.dir.join(&relative);
        persist(file, &path).map_err(|error| WriteError::new("name the part", &path, error))?;
        let finished = Finished {
            relative,
            path,
            sessions,
            rows,
            bytes,
            stays: false,
        };
        sync(&month)?;
        Ok(finished)
    }
}

/// Renames a temporary file to a name that no file has.
fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        // A file system that can't rename so, as some that stand for a bucket. The name has the run's id, which no other run has.
        Err(error)
            if error.error.kind() != ErrorKind::AlreadyExists
                && !fs::exists(path)?
                && fs::exists(error.file.path())? =>
        {
            error.file.persist(path)?;
            Ok(())
        }
        Err(error) => Err(error.error),
    }
}

/// Flushes the names in a folder to the disk, where its file system has something to flush.
fn sync(folder: &Path) -> Result<(), WriteError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    match synced {
        Err(error) if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
            Err(WriteError::new("flush folder", folder, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("part.parquet");
        fs::write(&path, "first").unwrap();
        let file = NamedTempFile::new_in(dir.path()).unwrap();
        assert_eq!(persist(file, &path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    }
}
