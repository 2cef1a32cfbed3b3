//! Indexes that only reads use, and that no read uses; and what the one on last_activity_at costs.

use serde::Deserialize;

use super::scene::Scene;
use super::{Answer, Finding, ok, warning};
use crate::output::{count, span};
use crate::schema::OptionalIndex;

/// What is counted for less, in seconds, says nothing: a report may run once a week.
const LONG_ENOUGH: i64 = 7 * 24 * 60 * 60;

/// In a smaller table the server does without indexes, and they cost little.
const MANY_ROWS: i64 = 10_000;

/// So few updates say nothing of the share that is HOT.
const MANY_UPDATES: u64 = 10_000;

/// A share in percent that no index keeps down.
const GOOD_SHARE: u64 = 90;

#[derive(Deserialize)]
struct Facts {
    rows: i64,
    updates: u64,
    hot_updates: u64,
    /// Absent where the server does not say since when it counts.
    counted_for: Option<i64>,
    /// Whether the history and the declaration can be read: how old the indexes are.
    has_record: bool,
    indexes: Vec<Index>,
}

#[derive(Deserialize)]
struct Index {
    name: String,
    is_used: bool,
    size: String,
}

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    if scene.objects.table.is_none() {
        return Ok(None);
    }
    let names = OptionalIndex::ALL.map(OptionalIndex::name).to_vec();
    let facts: Facts = scene.ask_about(include_str!("indexes.sql"), &names).await?;
    if facts.indexes.is_empty() || facts.rows < MANY_ROWS || !facts.has_record {
        return Ok(None);
    }
    let age = scene.ask(include_str!("indexes_age.sql")).await?;
    Ok(Some(judge(&facts, age)))
}

/// `age`: of the newest index, in seconds.
fn judge(facts: &Facts, age: i64) -> Finding {
    let seconds = facts.counted_for.unwrap_or(0).min(age);
    let cost = cost(facts).unwrap_or_default();
    if seconds < LONG_ENOUGH {
        return ok(format!(
            "uses are counted for {}, and judged after 7 days{cost}",
            span(seconds)
        ));
    }
    let unused: Vec<String> = facts
        .indexes
        .iter()
        .filter(|index| !index.is_used)
        .map(|index| format!("{} ({})", index.name, index.size))
        .collect();
    if unused.is_empty() {
        return ok(format!("each was used within {}{cost}", span(seconds)));
    }
    // The key names those that are left out already, too.
    let is_used = |name: &str| facts.indexes.iter().any(|index| index.is_used && index.name == name);
    let names = OptionalIndex::ALL.map(OptionalIndex::name);
    let names: Vec<String> = names
        .iter()
        .filter(|name| !is_used(name))
        .map(|name| format!("\"{name}\""))
        .collect();
    warning(
        format!("never used in {}: {}{cost}", span(seconds), unused.join(", ")),
        format!(
            "if no read replica uses them (each counts its own), put without-indexes = [{}] under [table] in sessctl.toml and run \
             sessctl migrate",
            names.join(", ")
        ),
    )
}

/// What the index on last_activity_at costs, where it costs something.
fn cost(facts: &Facts) -> Option<String> {
    let is_there = facts.indexes.iter().any(|index| index.name.ends_with("_last_activity"));
    let share = facts.hot_updates.saturating_mul(100).checked_div(facts.updates)?;
    (is_there && facts.updates >= MANY_UPDATES && share < GOOD_SHARE).then(|| {
        format!(
            "; {share} % of {} updates are HOT: none that changes last_activity_at can be while \
             idx_user_sessions_last_activity is there (measured: 1.24 times as many heartbeats without it)",
            count(facts.updates)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    const DAY: i64 = 24 * 60 * 60;

    fn facts(used: [bool; 4]) -> Facts {
        let index = |(name, is_used)| Index {
            name,
            is_used,
            size: "2 MB".into(),
        };
        let names = OptionalIndex::ALL.map(|index| index.name().to_owned());
        Facts {
            rows: MANY_ROWS,
            updates: 0,
            hot_updates: 0,
            counted_for: Some(10 * DAY),
            has_record: true,
            indexes: names.into_iter().zip(used).map(index).collect(),
        }
    }

    #[test]
    fn those_that_were_never_used_are_named_once_they_had_the_time() {
        let found = judge(&facts([true, false, true, false]), 10 * DAY);
        assert_eq!(found.level, Level::Warning);
        assert_eq!(
            found.message,
            "never used in 10 d 0 h: idx_user_sessions_status (2 MB), idx_user_sessions_last_activity (2 MB)"
        );
        let list = "[\"idx_user_sessions_status\", \"idx_user_sessions_last_activity\"]";
        assert!(found.hint.unwrap().contains(list));
        assert_eq!(judge(&facts([true; 4]), 10 * DAY), ok("each was used within 10 d 0 h"));
        for (counted_for, age) in [(None, 10), (Some(6), 10), (Some(10), 6), (Some(0), 0)] {
            let facts = Facts {
                counted_for: counted_for.map(|days| days * DAY),
                ..facts([false; 4])
            };
            let found = judge(&facts, age * DAY);
            assert!(
                found.level == Level::Ok && found.message.contains("judged after 7 days"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn one_that_is_left_out_already_stays_so_by_the_hint() {
        let mut facts = facts([true, false, true, true]);
        facts.indexes.remove(0);
        let hint = judge(&facts, 10 * DAY).hint.unwrap();
        assert!(
            hint.contains("[\"idx_user_sessions_platform\", \"idx_user_sessions_status\"]"),
            "{hint}"
        );
    }

    #[test]
    fn the_cost_is_said_where_updates_are_not_hot() {
        for (updates, hot_updates, costs) in [
            (0, 0, false),
            (9_999, 0, false),
            (10_000, 0, true),
            (10_000, 8_999, true),
            (10_000, 9_000, false),
        ] {
            let mut facts = Facts {
                updates,
                hot_updates,
                ..facts([true; 4])
            };
            let says = |facts: &Facts| judge(facts, 10 * DAY).message.contains("1.24 times");
            assert_eq!(says(&facts), costs, "{updates} {hot_updates}");
            facts.indexes.pop();
            assert!(!says(&facts));
        }
    }
}
