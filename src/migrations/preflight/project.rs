//! A database that is a Supabase project's, and a role that may create what the migrations create.

use serde::Deserialize;

use super::FAILED;
use crate::database::Database;
use crate::failure::Failure;

#[derive(Deserialize)]
struct Project {
    role: String,
    database: String,
    missing_roles: Vec<String>,
    auth_users: bool,
    auth_uid: bool,
    may_reference_users: bool,
    may_create_in_database: bool,
    may_create_in_public: bool,
    may_create_in_sessctl: bool,
    encoding: String,
}

pub(super) async fn check(database: &Database) -> Result<(), Failure> {
    let project: Project = database.ask(include_str!("project.sql"), &[], FAILED).await?;
    refuse_other_database(&project)?;
    refuse_other_encoding(&project)?;
    refuse_missing_rights(&project)
}

/// A database that is not a Supabase project's.
fn refuse_other_database(project: &Project) -> Result<(), Failure> {
    let mut missing = Vec::new();
    if !project.auth_users {
        missing.push("table auth.users".to_owned());
    }
    if !project.auth_uid {
        missing.push("function auth.uid() with result uuid".to_owned());
    }
    missing.extend(project.missing_roles.iter().map(|role| format!("role {role}")));
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

/// A database whose encoding may lack a character that a migration has. SQL_ASCII takes any.
fn refuse_other_encoding(project: &Project) -> Result<(), Failure> {
    if ["UTF8", "SQL_ASCII"].contains(&&*project.encoding) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "database {} has the encoding {}, and sessctl needs UTF8",
        project.database, project.encoding
    ))
    .hint(
        "restore a dump into a database made with: create database … encoding 'UTF8' template template0; nothing was changed",
    ))
}

/// A role that may not create what the migrations create.
fn refuse_missing_rights(project: &Project) -> Result<(), Failure> {
    let role = &project.role;
    let database_name = &project.database;
    let rights = [
        (
            project.may_create_in_database,
            format!("create schemas in database {database_name}"),
            format!("grant create on database \"{database_name}\" to \"{role}\""),
        ),
        (
            project.may_create_in_public,
            "create tables in schema public".into(),
            format!("grant create on schema public to \"{role}\""),
        ),
        (
            project.may_create_in_sessctl,
            "create tables in schema sessctl".into(),
            format!("grant create on schema sessctl to \"{role}\""),
        ),
        (
            project.may_reference_users,
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
