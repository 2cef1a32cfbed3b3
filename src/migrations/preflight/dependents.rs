//! Objects of others that depend on what must be dropped. It is never dropped with CASCADE.

use serde::Deserialize;
use tokio_postgres::types::Type;

use super::FAILED;
use crate::database::Database;
use crate::failure::Failure;
use crate::schema::Object;

#[derive(Deserialize)]
struct Dependents {
    object: String,
    dependents: Vec<String>,
}

pub(super) async fn check(database: &Database, dropped: &[Object]) -> Result<(), Failure> {
    if dropped.is_empty() {
        return Ok(());
    }
    let objects: Vec<String> = dropped.iter().map(ToString::to_string).collect();
    let parameters = [(&objects as _, Type::TEXT_ARRAY)];
    let blocked: Vec<Dependents> = database
        .ask(include_str!("dependents.sql"), &parameters, FAILED)
        .await?;
    if blocked.is_empty() {
        return Ok(());
    }
    let blocked = blocked.iter().map(|Dependents { object, dependents }| {
        format!("{object} must be replaced, and is used by {}", dependents.join(", "))
    });
    Err(Failure::new(blocked.collect::<Vec<_>>().join("; "))
        .hint("drop the objects that use it, run sessctl migrate, and create them again; nothing was changed"))
}
