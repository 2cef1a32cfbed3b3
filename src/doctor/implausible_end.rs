//! Ended sessions with an implausible ended_at, which a run of any job should have settled.

use super::scene::{ByIndex, Count, Scene};
use super::{Answer, Finding, counted};
use crate::database::Value;
use crate::maintenance::{CLEANUP, END_INACTIVE};

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    let plan = &scene.plan;
    let slack = plan.slack(&END_INACTIVE).max(plan.slack(&CLEANUP));
    let judge = |number| judge(number, &plan.command(&END_INACTIVE));
    scene
        .count_in_views(
            include_str!("implausible_end.sql"),
            ByIndex::AllByBitmap,
            &[("slack", Value::Int(slack))],
            judge,
        )
        .await
}

fn judge(number: Count, command: &str) -> Finding {
    counted(
        number,
        "ended sessions with an implausible ended_at",
        format!("run {command}, which settles them, and have cron or sessctl schedule run it"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::exactly;

    #[test]
    fn ended_sessions_with_an_implausible_end_are_counted() {
        assert_eq!(judge(exactly(0), "").message, "none");
        let finding = judge(exactly(1), "sessctl end-inactive --minutes 30");
        assert_eq!(finding.message, "1 ended session with an implausible ended_at");
        let hint =
            "run sessctl end-inactive --minutes 30, which settles them, and have cron or sessctl schedule run it";
        assert_eq!(finding.hint.as_deref(), Some(hint));
    }
}
