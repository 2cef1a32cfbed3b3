//! Whether vacuum keeps up with the table.

use serde::Deserialize;

use super::scene::Scene;
use super::{Answer, Finding, ok, warning};
use crate::output::count;

#[derive(Deserialize)]
struct Facts {
    dead: u64,
    live: u64,
}

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    Ok(Some(judge(&scene.ask(include_str!("dead_rows.sql")).await?)))
}

fn judge(facts: &Facts) -> Finding {
    if facts.dead > 10_000 && facts.dead > facts.live / 2 {
        warning(
            format!("{} dead, {} live", count(facts.dead), count(facts.live)),
            "run vacuum public.user_sessions, and find what delays autovacuum",
        )
    } else {
        ok(count(facts.dead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn many_dead_rows_are_a_warning_where_they_are_a_third_of_the_table() {
        for (dead, live, level) in [
            (0, 0, Level::Ok),
            (10_000, 10, Level::Ok),
            (10_001, 10, Level::Warning),
            (10_001, 30_000, Level::Ok),
        ] {
            assert_eq!(judge(&Facts { dead, live }).level, level, "{dead} {live}");
        }
    }
}
