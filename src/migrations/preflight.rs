//! Whether the migrations can work in a database, and what they would do to what is there.

use refinery::Migration;
use serde::Deserialize;

use super::replaced::Declarations;
use crate::database::Database;
use crate::failure::Failure;
use crate::schema::{Facts, Found, Kind, Object, snapshot};

/// Columns for which no value could be made up.
const CORE_COLUMNS: [&str; 3] = ["user_id", "session_id", "platform"];

#[derive(Deserialize)]
struct Preflight {
    role: String,
    database: String,
    missing_roles: Vec<String>,
    auth_users: bool,
    auth_uid: bool,
    may_reference_users: bool,
    may_create_in_database: bool,
    may_create_in_public: bool,
    foreign_objects: Vec<ForeignObject>,
    strange_triggers: Vec<String>,
    taken_names: Vec<String>,
}

#[derive(Deserialize)]
struct ForeignObject {
    object: String,
    owner: String,
}

/// What becomes of what is there.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) changes: Vec<String>,
    /// Policies of others.
    pub(super) leaves: Vec<Object>,
}

/// Looks whether the migrations can work here, and what they would do to what is there.
pub(super) async fn preflight(database: &Database, pending: &[Migration]) -> Result<Changes, Failure> {
    let sql = include_str!("preflight.sql");
    let look: Preflight = database.ask(sql, &[], "can't look at the database").await?;
    refuse_other_database(&look)?;
    refuse_missing_rights(&look)?;
    refuse_foreign_objects(&look)?;
    let found = Found::read(database).await?;
    let expected = snapshot();
    refuse_other_shape(&expected, found.facts())?;
    let declarations = Declarations::of(pending);
    let is_ours = |object: &Object| expected.contains_key(object) || declarations.drops(object).is_some();
    let policies = found.facts().keys().filter(|object| object.kind == Kind::Policy);
    Ok(Changes {
        changes: declarations.lines(&expected, found.facts()),
        leaves: policies.filter(|object| !is_ours(object)).cloned().collect(),
    })
}

/// A database that is not a Supabase project's.
fn refuse_other_database(look: &Preflight) -> Result<(), Failure> {
    let mut missing = Vec::new();
    if !look.auth_users {
        missing.push("table auth.users".to_owned());
    }
    if !look.auth_uid {
        missing.push("function auth.uid()".to_owned());
    }
    missing.extend(look.missing_roles.iter().map(|role| format!("role {role}")));
    if !missing.is_empty() {
        return Err(Failure::new(format!(
            "this is not a Supabase database: it lacks {}",
            missing.join(", ")
        ))
        .hint(
            "check the connection string; to try sessctl without a project, run sessctl sandbox -- sessctl migrate",
        ));
    }
    Ok(())
}

/// A role that may not create what the migrations create.
fn refuse_missing_rights(look: &Preflight) -> Result<(), Failure> {
    let role = &look.role;
    let database_name = &look.database;
    let rights = [
        (
            look.may_create_in_database,
            format!("create schemas in database {database_name}"),
            format!("grant create on database \"{database_name}\" to \"{role}\""),
        ),
        (
            look.may_create_in_public,
            "create tables in schema public".into(),
            format!("grant create on schema public to \"{role}\""),
        ),
        (
            look.may_reference_users,
            "refer to auth.users by a foreign key".into(),
            format!("grant references on auth.users to \"{role}\""),
        ),
    ];
    if let Some((_, right, grant)) = rights.iter().find(|(may, _, _)| !may) {
        return Err(Failure::new(format!("role \"{role}\" may not {right}"))
            .hint(format!("connect as postgres, or have a superuser run: {grant};")));
    }
    Ok(())
}

/// Objects of others, where ours are or would be.
fn refuse_foreign_objects(look: &Preflight) -> Result<(), Failure> {
    let role = &look.role;
    if let Some(first) = look.foreign_objects.first() {
        let list: Vec<String> = look
            .foreign_objects
            .iter()
            .map(|o| format!("{} belongs to {}", o.object, o.owner))
            .collect();
        let hand_over: Vec<String> = look
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
    if !look.strange_triggers.is_empty() {
        return Err(Failure::new(format!(
            "public.user_sessions has triggers whose functions belong to somebody else than the table: {}",
            look.strange_triggers.join(", ")
        ))
        .hint(
            "who owns such a function runs code with the rights of whoever maintains the table: drop the triggers, or \
             hand their functions to the table's owner; nothing was changed",
        ));
    }
    if !look.taken_names.is_empty() {
        return Err(Failure::new(format!(
            "names of sessctl's indexes are taken in schema public by something else: {}",
            look.taken_names.join(", ")
        ))
        .hint("rename those, then run sessctl migrate again; nothing was changed"));
    }
    Ok(())
}

/// A table of that name which is not the script's is left alone.
fn refuse_other_shape(expected: &Facts, found: &Facts) -> Result<(), Failure> {
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
