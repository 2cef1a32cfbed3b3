//! What an error of the server or the network means here, and what to do about it.

use std::error::Error as StdError;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use crate::failure::Failure;

/// Turns an error into what a person reads: `what` could not be done, why, and what to do next.
pub fn explain(error: &Error, what: &str) -> Failure {
    let reason = match error.as_db_error() {
        Some(db) => server_message(db),
        None => chain(error),
    };
    let failure = Failure::new(format!("{what}: {reason}")).because(anyhow::anyhow!("{}", details(error)));
    match remedy(error) {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}

/// The server's message with its detail, in one line.
pub fn server_message(db: &DbError) -> String {
    match db.detail() {
        Some(detail) => format!("{} ({})", db.message(), detail.replace('\n', "; ")),
        None => db.message().to_owned(),
    }
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn details(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("SQLSTATE {}, {}", db.code().code(), db.severity()),
        None => chain(error),
    }
}

fn remedy(error: &Error) -> Option<String> {
    let db = error.as_db_error()?;
    let code = db.code();
    let text = if [
        SqlState::UNDEFINED_FUNCTION,
        SqlState::UNDEFINED_TABLE,
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::UNDEFINED_COLUMN,
    ]
    .contains(code)
    {
        "the database is not migrated far enough: run sessctl migrate"
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE && db.hint().is_none() {
        "connect as the owner of the schema (postgres) or as service_role; the README has the rights that a role for \
         maintenance or for CI needs"
    } else if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        "the server takes no writes (a replica, or a project set to read-only, often because its disk is full): \
         use the primary's connection string"
    } else if *code == SqlState::DISK_FULL {
        "the server's disk is full: enlarge it in the dashboard, or free space; nothing of this statement was kept"
    } else {
        return db.hint().map(ToOwned::to_owned);
    };
    Some(text.into())
}
