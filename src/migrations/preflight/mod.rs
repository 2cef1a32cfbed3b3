//! Whether the migrations can work in a database, and what they would do to what is there.

mod names;
mod ownership;
mod project;

use refinery::Migration;

use super::replaced::Declarations;
use crate::database::Database;
use crate::failure::Failure;
use crate::schema::{Found, Kind, Object, snapshot};

/// What becomes of what is there.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) changes: Vec<String>,
    /// Policies of others.
    pub(super) leaves: Vec<Object>,
}

/// Looks whether the migrations can work here, and what they would do to what is there.
pub(super) async fn preflight(database: &Database, pending: &[Migration]) -> Result<Changes, Failure> {
    project::check(database).await?;
    ownership::check(database).await?;
    names::check(database).await?;
    let found = Found::read(database).await?;
    let expected = snapshot();
    names::check_shape(&expected, found.facts())?;
    let declarations = Declarations::of(pending);
    let is_ours = |object: &Object| expected.contains_key(object) || declarations.drops(object).is_some();
    let policies = found.facts().keys().filter(|object| object.kind == Kind::Policy);
    Ok(Changes {
        changes: declarations.lines(&expected, found.facts()),
        leaves: policies.filter(|object| !is_ours(object)).cloned().collect(),
    })
}

/// What each check says where its query fails.
const FAILED: &str = "can't look at the database";
