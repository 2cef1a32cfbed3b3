//! Foreign keys to the table that keep sessions from being deleted, or make each deletion read a whole table.

use serde::Deserialize;

use super::scene::Scene;
use super::{Answer, Finding, ok, warning};

#[derive(Deserialize)]
struct ForeignKey {
    /// Quoted where SQL needs it, as are the others.
    name: String,
    table: String,
    columns: String,
    referenced: String,
    /// It has no ON DELETE action.
    keeps_sessions: bool,
    has_index: bool,
}

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    let keys: Vec<ForeignKey> = scene.ask(include_str!("foreign_keys.sql")).await?;
    Ok(Some(judge(&keys)))
}

fn judge(keys: &[ForeignKey]) -> Finding {
    let mut messages = Vec::new();
    let mut hints = Vec::new();
    for ForeignKey {
        name,
        table,
        columns,
        referenced,
        ..
    } in keys.iter().filter(|key| key.keeps_sessions)
    {
        messages.push(format!(
            "{name} of {table} has no on delete action: cleanup leaves the sessions that it references"
        ));
        hints.push(format!(
            "alter table {table} drop constraint {name}, add constraint {name} foreign key ({columns}) references \
             public.user_sessions ({referenced}) on delete cascade, or on delete set null"
        ));
    }
    for ForeignKey {
        name, table, columns, ..
    } in keys.iter().filter(|key| !key.has_index)
    {
        messages.push(format!(
            "no index of {table} begins with {columns} of {name}: the deletion of a session reads the whole table"
        ));
        hints.push(format!("create index concurrently on {table} ({columns})"));
    }
    match (keys, messages.as_slice()) {
        ([], _) => ok("none"),
        (keys, []) => {
            let names: Vec<String> = keys
                .iter()
                .map(|key| format!("{} of {}", key.name, key.table))
                .collect();
            ok(names.join(", "))
        }
        _ => warning(messages.join("; "), hints.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(keeps_sessions: bool, has_index: bool) -> ForeignKey {
        ForeignKey {
            name: "events_session_fkey".into(),
            table: "public.events".into(),
            columns: "session".into(),
            referenced: "id".into(),
            keeps_sessions,
            has_index,
        }
    }

    #[test]
    fn a_key_that_keeps_sessions_or_has_no_index_is_named_with_its_table() {
        assert_eq!(judge(&[]), ok("none"));
        assert_eq!(judge(&[key(false, true)]), ok("events_session_fkey of public.events"));
        let finding = judge(&[key(true, true)]);
        let expected = "events_session_fkey of public.events has no on delete action: cleanup leaves the sessions that it references";
        assert_eq!(finding.message, expected);
        let finding = judge(&[key(false, false)]);
        let expected = "no index of public.events begins with session of events_session_fkey: the deletion of a session reads the whole table";
        assert_eq!(finding.message, expected);
        assert_eq!(
            finding.hint.as_deref(),
            Some("create index concurrently on public.events (session)")
        );
        let both = judge(&[key(true, false)]).hint.unwrap();
        assert!(
            both.contains("on delete cascade") && both.contains("create index"),
            "{both}"
        );
    }
}
