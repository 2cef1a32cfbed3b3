//! Sessions that cleanup should have deleted.

use super::scene::{ByIndex, Count, Scene};
use super::{Answer, Finding, counted};
use crate::database::Value;
use crate::maintenance::CLEANUP;

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    let plan = &scene.plan;
    let days = plan.threshold(&CLEANUP);
    let values = [
        ("days", Value::Int(days.into())),
        ("slack", Value::Int(plan.slack(&CLEANUP))),
    ];
    let judge = |number| judge(number, days, &plan.command(&CLEANUP));
    scene
        .count_in_views(include_str!("past_retention.sql"), ByIndex::All, &values, judge)
        .await
}

fn judge(number: Count, days: i32, command: &str) -> Finding {
    let span = if days == 1 {
        "a day".into()
    } else {
        format!("{days} days")
    };
    counted(
        number,
        &format!("sessions that ended over {span} ago"),
        format!("run {command}, and have cron or sessctl schedule run it"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::exactly;

    #[test]
    fn sessions_past_retention_are_counted_with_the_threshold_in_force() {
        let judged = |number, days| judge(exactly(number), days, "sessctl cleanup --days 365");
        assert_eq!(judged(0, 365).message, "none");
        assert_eq!(judged(1, 90).message, "1 session that ended over 90 days ago");
        let finding = judged(1_234, 365);
        assert_eq!(finding.message, "1,234 sessions that ended over 365 days ago");
        let hint = "run sessctl cleanup --days 365, and have cron or sessctl schedule run it";
        assert_eq!(finding.hint.as_deref(), Some(hint));
    }
}
