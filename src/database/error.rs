//! Why a query gave no value.

use std::time::Duration;

use humantime::format_duration;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use super::hint;
use crate::failure::Failure;

/// Why a query gave no value.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The server's word, or the connection's end.
    #[error("{}", hint::reason(.0))]
    Server(Error),
    /// The connection was given up, after this long.
    #[error("no answer from the server within {}", format_duration(*.0))]
    Silence(Duration),
    /// No row came back.
    #[error("the server gave no answer back")]
    Empty,
    /// The value has another shape than this program knows.
    #[error("the server's answer has an unknown shape")]
    Shape(#[from] serde_json::Error),
}

// Not derived, so that the driver's error is not its source: its text has the detail, which may show a row.
impl From<Error> for QueryError {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

impl QueryError {
    /// The server's error, where it refused.
    pub fn db_error(&self) -> Option<&DbError> {
        match self {
            Self::Server(error) => error.as_db_error(),
            _ => None,
        }
    }

    /// The SQLSTATE, where the server refused.
    pub fn code(&self) -> Option<&SqlState> {
        self.db_error().map(DbError::code)
    }

    /// The failure a person reads: `what` could not be done.
    pub fn explain(&self, what: &str) -> Failure {
        let failure = Failure::new(format!("{what}: {self}"));
        match self {
            Self::Server(error) => hint::explain(error, what),
            Self::Silence(_) => {
                failure.hint("check the network and the server; for an answer that takes longer there is --timeout")
            }
            Self::Empty => failure,
            Self::Shape(error) => failure.because(anyhow::anyhow!("{error}")),
        }
    }
}
