//! Objects of others, where ours are or would be.

use serde::Deserialize;

use super::FAILED;
use crate::database::Database;
use crate::failure::Failure;

#[derive(Deserialize)]
struct Ownership {
    role: String,
    foreign_objects: Vec<ForeignObject>,
    strange_triggers: Vec<String>,
}

#[derive(Deserialize)]
struct ForeignObject {
    object: String,
    owner: String,
}

pub(super) async fn check(database: &Database) -> Result<(), Failure> {
    let ownership: Ownership = database.ask(include_str!("ownership.sql"), &[], FAILED).await?;
    let role = &ownership.role;
    if let Some(first) = ownership.foreign_objects.first() {
        let list: Vec<String> = ownership
            .foreign_objects
            .iter()
            .map(|o| format!("{} belongs to {}", o.object, o.owner))
            .collect();
        let hand_over: Vec<String> = ownership
            .foreign_objects
            .iter()
            .map(|o| format!("alter {} owner to \"{role}\";", o.object))
            .collect();
        return Err(Failure::new(format!(
            "role \"{role}\" may not alter what is there: {}",
            list.join(", ")
        ))
        .hint(format!(
            "as {} (or a superuser) run: {}",
            first.owner,
            hand_over.join(" ")
        )));
    }
    if !ownership.strange_triggers.is_empty() {
        return Err(Failure::new(format!(
            "public.user_sessions has triggers whose functions belong to somebody else than the table: {}",
            ownership.strange_triggers.join(", ")
        ))
        .hint(
            "who owns such a function runs code with the rights of whoever maintains the table: drop the triggers, or \
             hand their functions to the table's owner; nothing was changed",
        ));
    }
    Ok(())
}
