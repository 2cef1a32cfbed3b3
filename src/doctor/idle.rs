//! Idle sessions that nothing ends, or that were not ended in time.

use super::inactive::span;
use super::scene::{ByIndex, Count, Scene};
use super::{Answer, Finding, counted};
use crate::database::Value;
use crate::maintenance::END_INACTIVE;

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    let plan = &scene.plan;
    let minutes = plan.threshold(&END_INACTIVE);
    let are_ended = plan.includes_idle();
    let values = [
        ("minutes", Value::Int(minutes.into())),
        (
            "slack",
            Value::Int(if are_ended { plan.slack(&END_INACTIVE) } else { 0 }),
        ),
    ];
    let judge = |number| judge(number, minutes, are_ended);
    scene
        .count_in_views(include_str!("idle.sql"), ByIndex::All, &values, judge)
        .await
}

fn judge(number: Count, minutes: i32, are_ended: bool) -> Finding {
    let (which, repeated) = if are_ended {
        ("", "and have cron or sessctl schedule run it")
    } else {
        (
            ", and no job ends idle sessions",
            "and have cron run it, or sessctl schedule install --include-idle",
        )
    };
    counted(
        number,
        &format!("idle sessions not seen for over {}{which}", span(minutes)),
        format!("run sessctl end-inactive --minutes {minutes} --include-idle, {repeated}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::exactly;

    #[test]
    fn idle_sessions_are_counted_and_whether_a_job_ends_them_is_said() {
        assert_eq!(judge(exactly(0), 60, false).message, "none");
        let finding = judge(exactly(1), 60, false);
        assert_eq!(
            finding.message,
            "1 idle session not seen for over an hour, and no job ends idle sessions"
        );
        assert!(finding.hint.unwrap().ends_with("schedule install --include-idle"));
        let finding = judge(exactly(1_234), 30, true);
        assert_eq!(finding.message, "1,234 idle sessions not seen for over 30 minutes");
        let hint = "run sessctl end-inactive --minutes 30 --include-idle, and have cron or sessctl schedule run it";
        assert_eq!(finding.hint.as_deref(), Some(hint));
    }
}
