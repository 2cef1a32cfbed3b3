//! An archive: a folder of Parquet files with the sessions that a cleanup deletes.
//!
//! `DIR/ended_month=2026-08/part-<run>-<n>.parquet`. A part is written under a temporary name, flushed to the disk and renamed, so
//! what has the name of a part is complete. Nothing here knows of the database: rows come as texts.

mod buffer;
mod columns;
mod command;
mod folder;
mod lock;
mod part;
mod writer;

pub(crate) use columns::{Column, Columns};
pub(crate) use command::{Command, CommandError, Ended};
pub(crate) use folder::Folder;
pub(crate) use part::{Finished, estimate};
pub(crate) use writer::{Row, Writer};

use crate::failure::Failure;

/// Why a part could not be written: what failed, on which file.
#[derive(Debug, thiserror::Error)]
#[error("can't {what} {path}: {why}")]
pub(crate) struct WriteError {
    what: &'static str,
    path: String,
    why: String,
}

impl WriteError {
    fn new(what: &'static str, path: &std::path::Path, why: impl std::fmt::Display) -> Self {
        Self {
            what,
            path: path.display().to_string(),
            why: why.to_string(),
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Self::new(format!("archive: {error}"))
            .hint("free space on that disk or let this user write to the folder, then run it again; what is not archived is not deleted")
    }
}
