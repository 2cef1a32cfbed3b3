//! What a repair must know beside the facts, and what none may begin with.

use serde::Deserialize;

use super::super::{Facts, Object};
use crate::failure::Failure;

/// What the server says of a database beside its facts.
pub(crate) const SITUATION_SQL: &str = include_str!("situation.sql");

/// What [`SITUATION_SQL`] gives back.
#[derive(Debug, Deserialize)]
pub(crate) struct Situation {
    /// The owner of schema sessctl, for a statement.
    pub(super) owner: String,
    /// Whether everything that this role creates is theirs.
    pub(super) is_owner: bool,
    /// Whether that is a role which sessctl takes for its owner.
    pub(super) is_known_owner: bool,
    /// Whether public.user_sessions is there, and takes no page: nothing has to wait for its rows.
    pub(super) is_empty: bool,
    /// The roles of the API that exist, and public.
    pub(super) api_roles: Vec<String>,
    /// Tables that may be public.user_sessions under another name, or in another schema.
    pub(super) elsewhere: Vec<Elsewhere>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Elsewhere {
    /// The table, as a statement has it.
    table: String,
    /// The statement that makes it public.user_sessions again.
    back: String,
    /// Whether a view of sessctl reads it: views follow a table.
    is_read: bool,
}

impl Situation {
    /// Refuses what no repair may begin with.
    ///
    /// # Errors
    /// A table that seems to be there under another name; objects of a role that sessctl does not take for its owner.
    pub(crate) fn check(&self, found: &Facts) -> Result<(), Failure> {
        self.refuse_elsewhere(found)?;
        self.refuse_unknown_owner(found)
    }

    /// Refuses a table that was moved or renamed: an empty one in its place would hide the sessions.
    fn refuse_elsewhere(&self, found: &Facts) -> Result<(), Failure> {
        let Some(Elsewhere { table, back, is_read }) = self.elsewhere.first() else {
            return Ok(());
        };
        if found.contains_key(&Object::sessions()) {
            return Ok(());
        }
        let (may_be, otherwise) = match is_read {
            true => ("is", ""),
            false => ("may be", "; if it is another table, give that another name"),
        };
        Err(Failure::new(format!(
            "public.user_sessions is missing, and {table} {may_be} that table: moved or renamed"
        ))
        .hint(format!(
            "move it back: {back}{otherwise}; then run sessctl migrate --repair; nothing was changed"
        )))
    }

    fn refuse_unknown_owner(&self, found: &Facts) -> Result<(), Failure> {
        if self.is_known_owner || !found.contains_key(&Object::schema()) {
            return Ok(());
        }
        Err(Failure::new(format!("schema sessctl belongs to {}", self.owner)).hint(
            "as that role or a superuser run: alter schema sessctl owner to postgres; then run sessctl migrate --repair; \
             nothing was changed",
        ))
    }
}
