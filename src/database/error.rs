//! Why a query gave no value.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::hint::explain;
use crate::failure::Failure;

/// Why a query gave no value.
#[derive(Debug)]
pub enum QueryError {
    /// The server's word, or the connection's end.
    Server(Error),
    /// No row came back.
    Empty,
    /// The value has another shape than this program knows.
    Shape(serde_json::Error),
}

impl From<Error> for QueryError {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

impl From<serde_json::Error> for QueryError {
    fn from(error: serde_json::Error) -> Self {
        Self::Shape(error)
    }
}

impl QueryError {
    /// The SQLSTATE, where the server refused.
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Server(error) => error.code(),
            _ => None,
        }
    }

    /// The failure a person reads: `what` could not be done.
    pub fn explain(self, what: &str) -> Failure {
        match self {
            Self::Server(error) => explain(&error, what),
            Self::Empty => Failure::new(format!("{what}: the server gave no answer back")),
            Self::Shape(error) => {
                Failure::new(format!("{what}: the server's answer has an unknown shape")).because(error)
            }
        }
    }
}
