//! Whether the sessions can be read at all. Where they can, the checks that count them say the rest.

use super::{Answer, Finding, Scene, Table, problem, warning};

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    Ok(judge(scene.objects.table.as_ref()))
}

fn judge(table: Option<&Table>) -> Option<Finding> {
    match table {
        None => Some(problem(
            "table public.user_sessions does not exist",
            "run sessctl migrate",
        )),
        Some(table) if !table.is_readable => Some(warning(
            "this role may not read public.user_sessions",
            "use postgres, or grant select on public.user_sessions",
        )),
        Some(table) if !table.has_columns => Some(problem(
            "the table lacks columns of the schema",
            "run sessctl migrate --dry-run: it says whether the table can be migrated",
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn what_keeps_the_sessions_from_being_read_is_one_line() {
        let judged = |is_readable, has_columns| {
            let table = Table {
                is_readable,
                has_columns,
            };
            judge(Some(&table)).map(|finding| finding.level)
        };
        assert_eq!(judge(None).map(|finding| finding.level), Some(Level::Problem));
        assert_eq!(judged(false, true), Some(Level::Warning));
        assert_eq!(judged(true, false), Some(Level::Problem));
        assert_eq!(judged(true, true), None);
    }
}
