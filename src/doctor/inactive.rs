//! Active sessions that end-inactive should have ended.

use super::scene::{ByIndex, Count, Scene};
use super::{Answer, Finding, counted};
use crate::database::Value;
use crate::maintenance::END_INACTIVE;

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    let plan = &scene.plan;
    let minutes = plan.threshold(&END_INACTIVE);
    let values = [
        ("minutes", Value::Int(minutes.into())),
        ("slack", Value::Int(plan.slack(&END_INACTIVE))),
    ];
    let judge = |number| judge(number, minutes, &plan.command(&END_INACTIVE));
    scene
        .count_in_views(include_str!("inactive.sql"), ByIndex::All, &values, judge)
        .await
}

/// A number of minutes in words.
pub(super) fn span(minutes: i32) -> String {
    match minutes {
        1 => "a minute".into(),
        60 => "an hour".into(),
        _ => format!("{minutes} minutes"),
    }
}

fn judge(number: Count, minutes: i32, command: &str) -> Finding {
    counted(
        number,
        &format!("active sessions not seen for over {}", span(minutes)),
        format!("run {command}, and have cron or sessctl schedule run it"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::exactly;

    #[test]
    fn inactive_sessions_are_counted_with_the_threshold_in_force() {
        let judged = |number, minutes| judge(exactly(number), minutes, "sessctl end-inactive --minutes 30");
        assert_eq!(judged(0, 60).message, "none");
        assert_eq!(judged(1, 60).message, "1 active session not seen for over an hour");
        let finding = judged(1_234, 30);
        assert_eq!(finding.message, "1,234 active sessions not seen for over 30 minutes");
        let hint = "run sessctl end-inactive --minutes 30, and have cron or sessctl schedule run it";
        assert_eq!(finding.hint.as_deref(), Some(hint));
    }
}
