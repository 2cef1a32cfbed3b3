//! Whether the migrations can work in a database, and what they would do to what is there.
//!
//! Each migration is a transaction: one that fails leaves those before it. So whatever could let one fail after the first
//! is looked for here, before anything is changed.

mod dependents;
mod grants;
mod lists;
mod names;
mod ownership;
mod project;

use refinery::Migration;

use super::replaced::Declarations;
use crate::database::Database;
use crate::failure::Failure;
use crate::schema::{
    Class, Declared, Facts, Found, Grant, Kind, Object, OptionalIndex, Origins, compare, keep, snapshot,
};
pub(super) use dependents::{DEPENDENTS_SQL, by_object, dependents_of};

/// What becomes of what is there.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) changes: Vec<String>,
    /// The same with rights of one kind in one line.
    pub(super) listed: Vec<String>,
    /// Those that clients may depend on.
    pub(super) risks: Vec<String>,
    /// Policies of others.
    pub(super) leaves: Vec<Object>,
}

impl Changes {
    /// And these, with whether clients may depend on each.
    pub(super) fn add(&mut self, lines: impl IntoIterator<Item = (String, bool)>) {
        for (line, is_risk) in lines {
            self.changes.push(line.clone());
            self.listed.push(line.clone());
            self.risks.extend(is_risk.then_some(line));
        }
    }
}

/// Looks whether the migrations can work here, and what they would do to what is there.
pub(super) async fn preflight(
    database: &Database,
    pending: &[Migration],
    declared: &Declared,
    origins: &Origins,
) -> Result<Changes, Failure> {
    project::check(database).await?;
    ownership::check(database).await?;
    let found = Found::read(database).await?;
    let (found, mut expected) = (found.facts(), snapshot());
    keep(&mut expected, found);
    for index in OptionalIndex::omitted(declared) {
        expected.remove(&index.object());
    }
    names::check(database, "migrate", &expected, found).await?;
    lists::check(database).await?;
    names::check_routines(&expected, found)?;
    names::check_sessions(&expected, found)?;
    names::check_private(&expected, found, pending)?;
    let declarations = Declarations::of(pending);
    dependents::check(database, &declarations.dropped(&expected, found)).await?;
    grants::check(database, "migrate", |object| declarations.revokes(object)).await?;
    let is_ours = |object: &Object| expected.contains_key(object) || declarations.drops(object).is_some();
    let policies = found.keys().filter(|object| object.kind == Kind::Policy);
    let lines = declarations.lines(&expected, found, origins);
    Ok(Changes {
        changes: lines.all,
        listed: lines.short,
        risks: lines.risks,
        leaves: policies.filter(|object| !is_ours(object)).cloned().collect(),
    })
}

/// Refuses a database where a repair would fail at what others have.
pub(super) async fn refuse_unfit(database: &Database, expected: &Facts, found: &Facts) -> Result<(), Failure> {
    ownership::check_objects(database, expected).await?;
    names::check(database, "migrate --repair", expected, found).await?;
    let differences = compare(expected, found);
    let is_right = |object: &Object| {
        let mut rights = differences
            .iter()
            .filter(|d| d.class == Class::Drift && Grant::of(&d.property).is_some());
        rights.any(|d| d.object == *object)
    };
    grants::check(database, "migrate --repair", is_right).await
}

/// What each check says where its query fails.
const FAILED: &str = "can't look at the database";
