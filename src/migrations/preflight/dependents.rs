//! Objects of others that depend on what must be dropped. It is never dropped with CASCADE.

use serde::Deserialize;
use tokio_postgres::types::Type;

use super::FAILED;
use crate::database::Database;
use crate::failure::Failure;
use crate::schema::repair::Dependents;
use crate::schema::{Facts, Object};

pub(in crate::migrations) const DEPENDENTS_SQL: &str = include_str!("dependents.sql");

/// An object, and what uses it.
#[derive(Deserialize)]
pub(in crate::migrations) struct Used {
    object: Object,
    dependents: Vec<String>,
}

/// What uses each of the objects that are there.
pub(in crate::migrations) async fn dependents_of(database: &Database, found: &Facts) -> Result<Dependents, Failure> {
    let objects: Vec<&Object> = found.keys().collect();
    Ok(by_object(used(database, &objects).await?))
}

/// The rows of [`DEPENDENTS_SQL`] by object.
pub(in crate::migrations) fn by_object(rows: Vec<Used>) -> Dependents {
    rows.into_iter().map(|used| (used.object, used.dependents)).collect()
}

async fn used(database: &Database, objects: &[&Object]) -> Result<Vec<Used>, Failure> {
    let objects: Vec<String> = objects.iter().map(ToString::to_string).collect();
    database
        .ask(DEPENDENTS_SQL, &[(&objects as _, Type::TEXT_ARRAY)], FAILED)
        .await
}

pub(super) async fn check(database: &Database, dropped: &[Object]) -> Result<(), Failure> {
    if dropped.is_empty() {
        return Ok(());
    }
    let blocked = used(database, &dropped.iter().collect::<Vec<_>>()).await?;
    if blocked.is_empty() {
        return Ok(());
    }
    let blocked = blocked.iter().map(|Used { object, dependents }| {
        format!("{object} must be replaced, and is used by {}", dependents.join(", "))
    });
    Err(Failure::new(blocked.collect::<Vec<_>>().join("; "))
        .hint("drop the objects that use it, run sessctl migrate, and create them again; nothing was changed"))
}
