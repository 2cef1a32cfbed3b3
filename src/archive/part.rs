//! One file of an archive, from its first row to its name.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use tempfile::NamedTempFile;

use super::buffer::Buffer;
use super::columns::Columns;

/// A balance: the next levels take twice the time for a few percent.
const ZSTD_LEVEL: i32 = 3;

/// A part that is being written, under a temporary name.
pub(super) struct Part {
    pub(super) month: String,
    pub(super) buffer: Buffer,
    /// The rows, as in [`Finished::sessions`].
    sessions: String,
    rows: u64,
    file: SerializedFileWriter<NamedTempFile>,
}

impl Part {
    pub(super) fn new(month: String, columns: &Columns, file: NamedTempFile) -> Result<Self> {
        Ok(Self {
            month,
            buffer: Buffer::new(columns),
            sessions: String::new(),
            rows: 0,
            file: SerializedFileWriter::new(file, columns.schema()?, properties()?)?,
        })
    }

    /// Takes a row, as in [`Buffer::push`].
    pub(super) fn push(&mut self, columns: &Columns, row_id: &str, row_version: &str, values: &[Option<&str>]) {
        self.buffer.push(columns, values);
        let id = values.get(columns.id).copied().flatten().unwrap_or_default();
        if !self.sessions.is_empty() {
            self.sessions.push(' ');
        }
        self.sessions += &format!("{row_id}:{row_version}:{id}");
        self.rows += 1;
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.buffer.flush(&mut self.file)
    }

    /// Writes what is left, the footer too, and flushes the file to the disk. Its name is still a temporary one.
    pub(super) fn close(mut self) -> Result<Closed> {
        self.flush()?;
        let file = self.file.into_inner()?;
        file.as_file().sync_all()?;
        let bytes = file.as_file().metadata()?.len();
        Ok(Closed {
            month: self.month,
            file,
            sessions: self.sessions,
            rows: self.rows,
            bytes,
        })
    }

    /// The temporary file's name, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.file.inner().path().to_owned()
    }
}

/// A part that is complete, under its temporary name.
pub(super) struct Closed {
    pub(super) month: String,
    pub(super) file: NamedTempFile,
    pub(super) sessions: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// A part that has its name. It is removed with the value, unless it is to stay: its sessions are all in the table then.
#[derive(Debug)]
pub(crate) struct Finished {
    /// From the archive's folder on.
    pub(crate) relative: String,
    pub(crate) path: PathBuf,
    /// The places, versions and ids of its rows: "row_id:row_version:id", a space between two.
    pub(crate) sessions: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// A session of it may be gone from the table, or a command has stored it.
    pub(crate) stays: bool,
}

impl Drop for Finished {
    fn drop(&mut self) {
        if !self.stays {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn properties() -> Result<WriterPropertiesPtr> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_created_by(format!("sessctl {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(vec![KeyValue::new(
            "table".to_owned(),
            "public.user_sessions".to_owned(),
        )]))
        .build();
    Ok(Arc::new(properties))
}

/// About how many bytes a file of these rows has.
///
/// # Errors
/// None is known: nothing is written to a disk.
pub(crate) fn estimate<'a>(
    columns: &Columns,
    rows: impl Iterator<Item = Vec<Option<&'a str>>>,
) -> std::result::Result<u64, String> {
    let write = || -> Result<u64> {
        let mut buffer = Buffer::new(columns);
        let mut file = SerializedFileWriter::new(Counted(0), columns.schema()?, properties()?)?;
        rows.for_each(|row| buffer.push(columns, &row));
        buffer.flush(&mut file)?;
        file.finish()?;
        Ok(file.bytes_written() as u64)
    };
    write().map_err(|error: ParquetError| error.to_string())
}

/// Counts, and keeps nothing.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
