//! Whether the sessions can be read at all. Where they can, the checks that count them say the rest.

use super::scene::{Objects, Scene, Table};
use super::{Answer, Finding, problem, warning};
use crate::database::missing_table_hint;

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    Ok(judge(&scene.objects))
}

fn judge(objects: &Objects) -> Option<Finding> {
    match &objects.table {
        None => Some(absent(objects)),
        Some(Table { is_readable: false, .. }) => Some(warning(
            "this role may not read public.user_sessions",
            "use postgres, or grant select on public.user_sessions",
        )),
        Some(Table { has_columns: false, .. }) => Some(problem(
            "the table lacks columns of the schema",
            "run sessctl migrate --dry-run: it says whether the table can be migrated",
        )),
        Some(_) => None,
    }
}

fn absent(objects: &Objects) -> Finding {
    let Objects {
        kind,
        elsewhere,
        has_history,
        ..
    } = objects;
    if kind.is_some() {
        return problem(
            "public.user_sessions is not an ordinary table",
            "sessctl keeps an ordinary table; a partitioned table or a view has to go, or to get another name",
        );
    }
    problem(
        "table public.user_sessions does not exist",
        missing_table_hint(elsewhere, *has_history).unwrap_or_else(|| "run sessctl migrate".into()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    fn objects(table: Option<(bool, bool)>) -> Objects {
        Objects {
            now: chrono::Utc::now(),
            table: table.map(|(is_readable, has_columns)| Table {
                is_readable,
                has_columns,
            }),
            kind: None,
            elsewhere: vec![],
            has_history: false,
            has_views: true,
            pg_cron: None,
        }
    }

    #[test]
    fn what_keeps_the_sessions_from_being_read_is_one_line() {
        let judged = |table| judge(&objects(table)).map(|finding| finding.level);
        assert_eq!(judged(None), Some(Level::Problem));
        assert_eq!(judged(Some((false, true))), Some(Level::Warning));
        assert_eq!(judged(Some((true, false))), Some(Level::Problem));
        assert_eq!(judged(Some((true, true))), None);
    }

    #[test]
    fn a_table_that_went_elsewhere_or_was_dropped_is_not_one_to_migrate() {
        let hint = |objects: &Objects| judge(objects).and_then(|finding| finding.hint).unwrap();
        assert_eq!(hint(&objects(None)), "run sessctl migrate");
        let dropped = Objects {
            has_history: true,
            ..objects(None)
        };
        assert!(hint(&dropped).contains("backup"));
        let moved = Objects {
            elsewhere: vec!["archive".into()],
            ..dropped
        };
        assert!(hint(&moved).contains("alter table archive.user_sessions set schema public"));
        let other = Objects {
            kind: Some("p".into()),
            ..moved
        };
        assert!(judge(&other).unwrap().message.contains("not an ordinary table"));
    }
}
