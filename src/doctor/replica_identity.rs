//! Published tables without a replica identity: the server refuses to update or delete their rows.

use serde::Deserialize;

use super::scene::Scene;
use super::{Answer, Finding, ok, problem};

#[derive(Deserialize)]
struct Published {
    /// Quoted where SQL needs it.
    table: String,
    publications: String,
    has_identity: bool,
}

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    let published: Option<Vec<Published>> = scene.ask(include_str!("replica_identity.sql")).await?;
    Ok(published.map(|tables| judge(&tables)))
}

fn judge(tables: &[Published]) -> Finding {
    match tables.iter().find(|table| !table.has_identity) {
        None => ok("each published table has one"),
        Some(Published {
            table, publications, ..
        }) => problem(
            format!("{table} is in {publications} and has none: end-inactive and cleanup can't change its rows"),
            format!(
                "alter table {table} replica identity default, with a primary key; or take it out of the publication"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_published_table_without_an_identity_is_a_problem() {
        let table = |has_identity| Published {
            table: "public.events".into(),
            publications: "supabase_realtime".into(),
            has_identity,
        };
        assert_eq!(judge(&[table(true)]).level, Level::Ok);
        let finding = judge(&[table(true), table(false)]);
        assert_eq!(finding.level, Level::Problem);
        assert!(
            finding
                .message
                .starts_with("public.events is in supabase_realtime and has none")
        );
    }
}
