//! Names of ours that something else has, and a table of that name which is not the script's.

use super::FAILED;
use crate::database::Database;
use crate::failure::Failure;
use crate::schema::{Facts, Object};

/// Columns for which no value could be made up.
const CORE_COLUMNS: [&str; 3] = ["user_id", "session_id", "platform"];

pub(super) async fn check(database: &Database) -> Result<(), Failure> {
    let taken: Vec<String> = database.ask(include_str!("names.sql"), &[], FAILED).await?;
    if !taken.is_empty() {
        return Err(Failure::new(format!(
            "names of sessctl's indexes are taken in schema public by something else: {}",
            taken.join(", ")
        ))
        .hint("rename those, then run sessctl migrate again; nothing was changed"));
    }
    Ok(())
}

/// A table of that name which is not the script's is left alone.
pub(super) fn check_shape(expected: &Facts, found: &Facts) -> Result<(), Failure> {
    let sessions = Object::sessions();
    let mut others = found
        .keys()
        .filter(|o| o.name == sessions.name && o.kind != sessions.kind);
    if let Some(other) = others.next() {
        return Err(Failure::new(format!("{other} is there, where sessctl keeps a table"))
            .hint("rename it, then run sessctl migrate again; nothing was changed"));
    }
    if !found.contains_key(&sessions) {
        return Ok(());
    }
    let mut differences = Vec::new();
    for (object, properties) in expected {
        let Some(name) = object.sessions_column() else {
            continue;
        };
        let wanted = properties.get("type");
        match found.get(object).map(|there| there.get("type")) {
            Some(there) if there != wanted => differences.push(format!(
                "column {name} is {} instead of {}",
                there.map_or("unknown", String::as_str),
                wanted.map_or("unknown", String::as_str)
            )),
            None if CORE_COLUMNS.contains(&name) => differences.push(format!("column {name} is missing")),
            _ => {}
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "public.user_sessions has another shape than the script's table: {}",
        differences.join(", ")
    ))
    .hint("alter or rename it, then run sessctl migrate again; nothing was changed"))
}
