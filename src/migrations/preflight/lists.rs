//! An enum type or a lookup table in place of a CHECK.

use serde::Deserialize;

use super::FAILED;
use crate::database::Database;
use crate::failure::Failure;

#[derive(Deserialize)]
struct Column {
    column: String,
    /// Its type, where that is one.
    r#enum: Option<String>,
    lookup: Option<Lookup>,
}

#[derive(Deserialize)]
struct Lookup {
    constraint: String,
    table: String,
}

pub(super) async fn check(database: &Database) -> Result<(), Failure> {
    let columns: Vec<Column> = database.ask(include_str!("lists.sql"), &[], FAILED).await?;
    for Column { column, r#enum, lookup } in columns {
        let declare = match column.as_str() {
            "platform" => "; declare its values as platforms in sessctl.toml",
            "end_reason" => "; declare its values as end-reasons in sessctl.toml",
            _ => "",
        };
        if let Some(kind) = r#enum {
            return Err(Failure::new(format!(
                "column {column} is of the enum type {kind}, which sessctl does not support: its functions and view compare \
                 texts, and no value can be removed from an enum"
            ))
            .hint(format!(
                "run: drop view if exists public.active_sessions_summary; alter table public.user_sessions alter column \
                 {column} type text; then sessctl migrate again{declare}; nothing was changed"
            )));
        }
        if let Some(Lookup { constraint, table }) = lookup {
            return Err(Failure::new(format!(
                "column {column} refers to the lookup table {table}, which sessctl does not support in place of a CHECK: \
                 each new session would lock a row of it, and who writes that table decides what maintenance may write"
            ))
            .hint(format!(
                "run: alter table public.user_sessions drop constraint {constraint}; then sessctl migrate again{declare}; \
                 nothing was changed"
            )));
        }
    }
    Ok(())
}
