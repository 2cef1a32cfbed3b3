//! A failed migration, as a person reads it: file, line and column, the server's words, and what to do.

use std::error::Error as StdError;

use refinery::Migration;
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

use crate::database::{Database, QueryError, READ_ONLY, functions, server_message};
use crate::failure::Failure;

/// Our error under refinery's, which by itself only says that there was one.
fn query_error(error: &refinery::Error) -> Option<&QueryError> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<QueryError>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// Whether the server refused with this SQLSTATE.
pub fn has_code(error: &refinery::Error, code: &SqlState) -> bool {
    query_error(error).and_then(QueryError::code) == Some(code)
}

/// Turns refinery's error into a failure that tells.
pub async fn explain(database: &Database, migration: &Migration, error: &refinery::Error) -> Failure {
    let name = format!("V{:02}__{}.sql", migration.version(), migration.name());
    let Some(error) = query_error(error) else {
        return Failure::new(format!("migration {name} failed: {error}"));
    };
    let Some(db) = error.db_error() else {
        return error
            .explain(&format!("migration {name} failed"))
            .hint("run sessctl migrate again: it goes on where this one stopped");
    };
    let place = place(migration.sql().unwrap_or_default(), db);
    let at = place
        .as_ref()
        .map_or(String::new(), |p| format!(":{}:{}", p.line, p.column));
    // What runs inside a block has no place in the file: the server says where it was in the block.
    let within = match functions(db).as_slice() {
        lines @ [_, ..] if place.is_none() => vec![format!("in {}", lines.join(", in "))],
        _ => Vec::new(),
    };
    let excerpt = place.map_or(within, |p| p.excerpt);
    let failure = Failure::new(format!("migration {name}{at} failed: {}", server_message(db)))
        .with_excerpt(excerpt)
        .because(anyhow::anyhow!("SQLSTATE {}", db.code().code()));
    match hint(database, db).await {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

struct Place {
    line: usize,
    column: usize,
    excerpt: Vec<String>,
}

/// Where in the migration's text the server points, and that line with a caret under the place.
fn place(sql: &str, db: &DbError) -> Option<Place> {
    let Some(ErrorPosition::Original(position)) = db.position() else {
        return None;
    };
    // The server counts characters from 1.
    let offset = (*position as usize).checked_sub(1)?;
    let before: String = sql.chars().take(offset).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let text = sql.lines().nth(line - 1)?;
    let gutter = line.to_string();
    let excerpt = vec![
        format!("{gutter} | {text}"),
        format!("{} | {}^", " ".repeat(gutter.len()), " ".repeat(column - 1)),
    ];
    Some(Place { line, column, excerpt })
}

async fn hint(database: &Database, db: &DbError) -> Option<String> {
    let code = db.code();
    if *code == SqlState::LOCK_NOT_AVAILABLE {
        let holder = database.who_holds().await;
        return holder
            .or_else(|| Some("a table was in use for too long; run it again, or with a larger --lock-timeout".into()));
    }
    if *code == SqlState::QUERY_CANCELED {
        return Some(
            "the server's statement_timeout cut it off: run it over the direct connection or the session pooler \
             (port 5432), with ?options=-c%20statement_timeout%3D0 at the end of the connection string"
                .into(),
        );
    }
    let about_rows = [
        SqlState::CHECK_VIOLATION,
        SqlState::NOT_NULL_VIOLATION,
        SqlState::UNIQUE_VIOLATION,
        SqlState::FOREIGN_KEY_VIOLATION,
    ];
    if about_rows.contains(code) {
        return Some(
            "rows of public.user_sessions don't fit the schema; nothing of this migration was kept: correct those rows, \
             then run sessctl migrate again"
                .into(),
        );
    }
    if *code == SqlState::DEPENDENT_OBJECTS_STILL_EXIST {
        return Some(
            "the object must be recreated, and yours depend on it: drop those named, run sessctl migrate, and create \
             them again; nothing of this migration was kept"
                .into(),
        );
    }
    if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        return Some(READ_ONLY.into());
    }
    db.hint().map(ToOwned::to_owned)
}
