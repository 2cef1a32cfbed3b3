//! Objects of others, where ours are or would be.

use serde::Deserialize;

use super::FAILED;
use crate::database::Database;
use crate::failure::Failure;
use crate::schema::{Facts, Object};

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

/// Statements that copy the table, with the keys that clients rely on. The row level security of the copy is on before anybody sees it.
const COPY_TABLE: &str = "begin; lock table public.user_sessions; \
    create table public.user_sessions_copy (like public.user_sessions including all excluding indexes); \
    alter table public.user_sessions_copy enable row level security; \
    insert into public.user_sessions_copy select * from public.user_sessions; \
    drop table public.user_sessions; \
    alter table public.user_sessions_copy rename to user_sessions; \
    alter table public.user_sessions add constraint user_sessions_pkey primary key (id), \
    add constraint user_sessions_session_id_key unique (session_id), \
    add constraint user_sessions_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade; commit;";

/// What a user of the platform can do, where nobody else may be supabase_admin: the owner of schema public, postgres, may drop
/// what is in it.
fn hosted_hint(objects: &[ForeignObject]) -> String {
    let mut statements = Vec::new();
    let names: Vec<&str> = objects.iter().map(|foreign| &*foreign.object).collect();
    let has_table = names.contains(&"table public.user_sessions");
    if has_table || names.contains(&"view public.active_sessions_summary") {
        statements.push("drop view if exists public.active_sessions_summary;".to_owned());
    }
    if has_table {
        statements.push(COPY_TABLE.to_owned());
    }
    let functions = names.iter().filter(|name| name.starts_with("function public."));
    statements.extend(functions.map(|function| format!("drop {function};")));
    let ask = "On the hosted platform, where you can't, ask support to run it";
    if statements.is_empty() {
        return format!("{ask}.");
    }
    format!("{ask}, or replace the objects as postgres: {}", statements.join(" "))
}

pub(super) async fn check(database: &Database) -> Result<(), Failure> {
    let ownership = read(database).await?;
    refuse(&ownership.role, &ownership.foreign_objects)?;
    if !ownership.strange_triggers.is_empty() {
        return Err(Failure::new(format!(
            "public.user_sessions has triggers whose functions belong to somebody else than the table: {}",
            ownership.strange_triggers.join(", ")
        ))
        .hint(
            "who owns such a function runs code with the rights of the role that maintains the table: drop the triggers, or \
             hand their functions to the table's owner; nothing was changed",
        ));
    }
    Ok(())
}

/// Refuses those of these objects that this role may not alter.
pub(super) async fn check_objects(database: &Database, objects: &Facts) -> Result<(), Failure> {
    let Ownership {
        role,
        mut foreign_objects,
        ..
    } = read(database).await?;
    foreign_objects.retain(|foreign| {
        foreign
            .object
            .parse()
            .is_ok_and(|object: Object| objects.contains_key(&object))
    });
    refuse(&role, &foreign_objects)
}

async fn read(database: &Database) -> Result<Ownership, Failure> {
    database.ask(include_str!("ownership.sql"), &[], FAILED).await
}

fn refuse(role: &str, foreign_objects: &[ForeignObject]) -> Result<(), Failure> {
    let Some(first) = foreign_objects.first() else {
        return Ok(());
    };
    let each = |line: &dyn Fn(&ForeignObject) -> String| foreign_objects.iter().map(line).collect::<Vec<String>>();
    let list = each(&|o| format!("{} belongs to {}", o.object, o.owner));
    let hand_over = each(&|o| format!("alter {} owner to \"{role}\";", o.object));
    let mut hint = format!("as {} (or a superuser) run: {}", first.owner, hand_over.join(" "));
    if first.owner == "supabase_admin" {
        hint = format!("{hint} {}", hosted_hint(foreign_objects));
    }
    Err(Failure::new(format!(
        "role \"{role}\" may not alter what is there: {}",
        list.join(", ")
    ))
    .hint(hint))
}
