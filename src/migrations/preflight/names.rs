//! Names of ours that something else has.

use refinery::Migration;
use tokio_postgres::types::Type;

use super::FAILED;
use crate::database::Database;
use crate::failure::Failure;
use crate::schema::{Difference, Facts, Kind, Object, Properties, compare};

/// Columns for which no value could be made up.
const CORE_COLUMNS: [&str; 3] = ["user_id", "session_id", "platform"];

/// Refuses a database where something of another kind has a name of ours.
pub(super) async fn check(database: &Database, command: &str, expected: &Facts, found: &Facts) -> Result<(), Failure> {
    // Indexes of private tables have another form of name, and their tables are checked.
    let is_public_index = |o: &&Object| o.kind == Kind::Index && !o.is_private();
    let is_relation = |o: &&Object| matches!(o.kind, Kind::Table | Kind::View);
    let ours: Vec<&Object> = expected
        .keys()
        .filter(|o| is_relation(o) || is_public_index(o))
        .collect();
    let names: Vec<&str> = ours.iter().map(|object| &*object.name).collect();
    let kinds: Vec<String> = ours.iter().map(|object| object.kind.to_string()).collect();
    let parameters = [(&names as _, Type::TEXT_ARRAY), (&kinds as _, Type::TEXT_ARRAY)];
    let mut clashes: Vec<String> = database.ask(include_str!("names.sql"), &parameters, FAILED).await?;
    for object in expected.keys().filter(is_relation) {
        for other in found.keys().filter(|o| o.name == object.name && o.kind != object.kind) {
            clashes.push(clash(&other.to_string(), &object.kind.to_string()));
        }
    }
    refuse(&clashes, command)
}

/// Refuses a database where a routine of another kind has the name of one of ours.
pub(super) fn check_routines(expected: &Facts, found: &Facts) -> Result<(), Failure> {
    let mut clashes = Vec::new();
    for object in expected.keys().filter(|object| object.kind == Kind::Function) {
        let kind = found.get(object).and_then(|there| there.get("kind"));
        if let Some(kind) = kind.filter(|kind| Some(*kind) != expected[object].get("kind")) {
            clashes.push(clash(&format!("{kind} {}", object.name), routine(&expected[object])));
        }
    }
    refuse(&clashes, "migrate")
}

fn clash(other: &str, kind: &str) -> String {
    format!("{other} is there, where sessctl keeps its {kind}")
}

fn refuse(clashes: &[String], command: &str) -> Result<(), Failure> {
    if clashes.is_empty() {
        return Ok(());
    }
    Err(Failure::new(clashes.join("; ")).hint(format!(
        "rename or drop it, then run sessctl {command} again; nothing was changed"
    )))
}

/// Refuses a table public.user_sessions which is not the script's.
pub(super) fn check_sessions(expected: &Facts, found: &Facts) -> Result<(), Failure> {
    let sessions = Object::sessions();
    if !found.contains_key(&sessions) {
        return Ok(());
    }
    let (mut differences, mut statements) = (Vec::new(), Vec::new());
    for (object, properties) in expected {
        let Some(name) = object.sessions_column() else {
            continue;
        };
        let Some(there) = found.get(object) else {
            if CORE_COLUMNS.contains(&name) {
                differences.push(format!("column {name} is missing"));
            }
            continue;
        };
        let (is, wanted) = (there.get("type"), properties.get("type"));
        if is != wanted {
            let (is, wanted) = [is, wanted].map(|t| t.map_or("unknown", String::as_str)).into();
            differences.push(format!("column {name} is {is} instead of {wanted}"));
            // Another type's values may be no such ones: that is for a person to see.
            if wanted == "text" {
                statements.push(format!("alter column {name} type text"));
            }
        }
        for (property, words, clause) in [
            ("generated", "a generated column", "drop expression"),
            ("identity", "an identity column", "drop identity"),
        ] {
            if there.contains_key(property) && !properties.contains_key(property) {
                differences.push(format!("column {name} is {words}, and maintenance or clients write it"));
                statements.push(format!("alter column {name} {clause}"));
            }
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    let way = if statements.len() == differences.len() {
        // The view reads the columns; migrate makes it again.
        format!(
            "run: drop view if exists public.active_sessions_summary; alter table public.user_sessions {}; then sessctl migrate again",
            statements.join(", ")
        )
    } else {
        "alter or rename it, then run sessctl migrate again".into()
    };
    Err(Failure::new(format!(
        "public.user_sessions has another shape than the script's table: {}",
        differences.join(", ")
    ))
    .hint(format!("{way}; nothing was changed")))
}

/// Refuses a schema sessctl with objects under names of ours that a pending migration can neither take nor replace.
pub(super) fn check_private(expected: &Facts, found: &Facts, pending: &[Migration]) -> Result<(), Failure> {
    let differences = compare(expected, found);
    let is_other = |object: &&Object| {
        object.is_private()
            && found.contains_key(object)
            && is_made_by(pending, object, &expected[*object])
            && is_unfit(object, &expected[*object], &found[*object], &differences)
    };
    let others: Vec<String> = expected.keys().filter(is_other).map(ToString::to_string).collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "schema sessctl has objects of another shape than sessctl's: {}",
        others.join(", ")
    ))
    .hint("rename or drop them, then run sessctl migrate again; nothing was changed"))
}

/// What a routine of ours is: function or procedure.
fn routine(expected: &Properties) -> &str {
    expected.get("kind").map_or("function", String::as_str)
}

/// Whether one of the migrations makes this object where it is not there, or takes the one that is.
fn is_made_by(migrations: &[Migration], object: &Object, expected: &Properties) -> bool {
    let name = object.name.split('(').next().unwrap_or_default();
    let statement = match object.kind {
        Kind::Function => format!("create or replace {} {name}(", routine(expected)),
        Kind::View => format!("create or replace view {name}\n"),
        Kind::Table => format!("create table if not exists {name} ("),
        _ => return false,
    };
    let mut texts = migrations.iter().filter_map(Migration::sql);
    texts.any(|sql| sql.contains(&statement))
}

/// Whether such a statement fails, or what comes after it.
fn is_unfit(object: &Object, expected: &Properties, found: &Properties, differences: &[Difference]) -> bool {
    match object.kind {
        Kind::Function => ["arguments", "result"]
            .iter()
            .any(|name| expected.get(*name) != found.get(*name)),
        // Columns may come at the end alone.
        Kind::View => match (expected.get("columns"), found.get("columns")) {
            (Some(wanted), Some(is)) => wanted != is && !wanted.starts_with(&format!("{is}, ")),
            _ => true,
        },
        Kind::Table => differences.iter().filter(|d| d.object.is_part_of(object)).any(|d| {
            match (d.object.kind, &*d.property) {
                (Kind::Column, "present" | "type") => d.expected.is_some(),
                // Of a column that is not ours: it must be written.
                (Kind::Column, "nullable") => d.expected.is_none(),
                (Kind::Constraint, "present") => d.object.name.ends_with("_pkey") && d.expected.is_some(),
                _ => false,
            }
        }),
        _ => false,
    }
}
