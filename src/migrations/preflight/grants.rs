//! Rights that a role other than the owner has granted on, with its grant option. The owner's `revoke` fails at them, or
//! leaves them.

use serde::Deserialize;

use super::FAILED;
use crate::database::Database;
use crate::failure::Failure;
use crate::schema::Object;

#[derive(Deserialize)]
struct Granted {
    /// As the facts name it.
    on: Object,
    /// The same for a statement.
    object: String,
    /// As a statement has it: a column's name is with it.
    right: String,
    grantor: String,
    grantee: String,
    /// The grantee is one of the API's roles: migrate grants them what they need.
    to_api: bool,
}

/// Refuses such rights on what `is_revoked` says rights are revoked on, by this command.
pub(super) async fn check(
    database: &Database,
    command: &str,
    is_revoked: impl Fn(&Object) -> bool,
) -> Result<(), Failure> {
    let mut granted: Vec<Granted> = database.ask(include_str!("grants.sql"), &[], FAILED).await?;
    granted.retain(|right| is_revoked(&right.on));
    if granted.is_empty() {
        return Ok(());
    }
    let mut statements = Vec::new();
    for Granted {
        object,
        right,
        grantor,
        grantee,
        to_api,
        ..
    } in &granted
    {
        let revoke = format!("revoke grant option for {right} on {object} from {grantor} cascade;");
        if !statements.contains(&revoke) {
            statements.push(revoke);
        }
        if !to_api {
            statements.push(format!("grant {right} on {object} to {grantee};"));
        }
    }
    let list: Vec<String> = granted
        .iter()
        .map(
            |Granted {
                 object,
                 right,
                 grantor,
                 grantee,
                 ..
             }| format!("{right} on {object} by {grantor} to {grantee}"),
        )
        .collect();
    Err(Failure::new(format!(
        "rights that {command} revokes were granted by a role other than the owner: {}",
        list.join(", ")
    ))
    .hint(format!(
        "nothing was changed; before sessctl {command}, run: {}",
        statements.join(" ")
    )))
}
