//! A schema without a history: which version it is of, if it is one that this sessctl knows.

use refinery::Migration;

use super::all;
use super::history::History;
use super::replaced::Declarations;
use crate::database::Database;
use crate::failure::Failure;
use crate::schema::{
    Class, Declared, Difference, Facts, Found, Grant, Kind, Object, WITHOUT_INDEXES, compare, expect, snapshot,
};

/// The facts of each version whose snapshot is embedded, oldest first. A release keeps those of the releases before it.
pub(super) fn versions() -> Vec<(i32, Facts)> {
    vec![(all().last().map_or(0, Migration::version), snapshot())]
}

/// Refuses a history that lacks a row although it has later ones: its migration would run on what came after it.
pub(super) fn refuse_lost_rows(history: &History, pending: &[Migration]) -> Result<(), Failure> {
    let Some(lost) = pending.iter().find(|migration| migration.version() < history.version()) else {
        return Ok(());
    };
    Err(Failure::new(format!(
        "the history lacks migration V{} {}, and has V{}, which came after it",
        lost.version(),
        lost.name(),
        history.version()
    ))
    .hint("run sessctl migrate --repair: it records what is there"))
}

/// The version that the schema of a database without a history is of, as in a copy without rows; 0 where it is none of these.
///
/// # Errors
/// The server's, or a schema that only a newer sessctl can have made.
pub(super) async fn version(
    database: &Database,
    ours: &[Migration],
    versions: &[(i32, Facts)],
    declared: &Declared,
) -> Result<i32, Failure> {
    let found = Found::read(database).await?;
    // Both are of one moment: another migrate may have begun since the history was read.
    let has_rows = found.history().is_some_and(|rows| !rows.is_empty());
    if has_rows || !found.facts().contains_key(&Object::new(Kind::Table, "sessctl.job")) {
        return Ok(0);
    }
    // A copy without rows lacks the declaration too.
    let mut in_force = found.declared(declared);
    if let Some(list) = declared.get(WITHOUT_INDEXES) {
        in_force.entry(WITHOUT_INDEXES.into()).or_insert_with(|| list.clone());
    }
    let is_of = |(_, facts): &&(i32, Facts)| {
        let mut facts = facts.clone();
        expect(&mut facts, found.facts(), &in_force, &Declared::new());
        !compare(&facts, found.facts()).iter().any(matters)
    };
    if let Some((version, _)) = versions.iter().rev().find(is_of) {
        return Ok(*version);
    }
    if let Some((_, newest)) = versions.last() {
        refuse_newer(ours, newest, found.facts())?;
    }
    Ok(0)
}

/// Whether a difference makes a schema another version's. What a team added does not, nor the history that is missing.
fn matters(difference: &Difference) -> bool {
    let Difference {
        object,
        class,
        expected,
        property,
        ..
    } = difference;
    let history = Object::new(Kind::Table, "sessctl.schema_history");
    let is_of_history = *object == history || object.is_part_of(&history);
    let is_ours = expected.is_some() || object.is_private() || Grant::of(property).is_some();
    *class == Class::Drift && is_ours && !is_of_history
}

/// Refuses a schema with objects that no migration of ours makes or drops: running ours would put older ones beside them.
fn refuse_newer(ours: &[Migration], newest: &Facts, found: &Facts) -> Result<(), Failure> {
    let declarations = Declarations::of(ours);
    let differences = compare(newest, found);
    let is_newer = |d: &&Difference| {
        let (object, is_extra) = (&d.object, d.expected.is_none());
        let is_unknown = is_extra
            && d.property == "present"
            && object.is_private()
            && matches!(object.kind, Kind::Function | Kind::View | Kind::Table)
            && declarations.drops(object).is_none();
        let is_longer = object.kind == Kind::View
            && d.property == "columns"
            && matches!((&d.expected, &d.found), (Some(wanted), Some(is)) if is.starts_with(&format!("{wanted}, ")));
        is_unknown || is_longer
    };
    let newer: Vec<String> = differences
        .iter()
        .filter(is_newer)
        .map(|d| d.object.to_string())
        .collect();
    if newer.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the schema has no history of migrations, and objects that this sessctl does not know: {}",
        newer.join(", ")
    ))
    .hint(
        "if a newer sessctl made them, as in a copy of another database, install that one; if they are yours, move them out of \
         schema sessctl; then run sessctl migrate; nothing was changed",
    ))
}
