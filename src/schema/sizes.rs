//! What the table takes on disk.

use serde::{Deserialize, Serialize};

use crate::database::{Database, READ_ONLY_TRANSACTION};
use crate::failure::Failure;

/// Bytes of the table and of each of its indexes, the largest first. Part of the JSON contract of `status`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Sizes {
    /// With what is stored outside of its rows (TOAST).
    pub(crate) table_bytes: u64,
    pub(crate) indexes: Vec<IndexSize>,
}

/// An index.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct IndexSize {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

impl Sizes {
    /// Reads them. Absent where the table is missing. A table that another session holds exclusively is an error after half a
    /// second.
    ///
    /// # Errors
    /// The server's or the connection's.
    pub(crate) async fn read(database: &Database) -> Result<Option<Self>, Failure> {
        let settings = format!("{READ_ONLY_TRANSACTION}; set local lock_timeout = '500ms'");
        match database.transact(&settings, include_str!("sizes.sql")).await {
            Ok(sizes) => Ok(sizes),
            Err(error) => Err(error.explain("can't read the size of the table")),
        }
    }

    /// Of the table and all indexes.
    pub(crate) fn total(&self) -> u64 {
        self.table_bytes + self.indexes.iter().map(|index| index.bytes).sum::<u64>()
    }
}
