//! Sessions that ended longer ago than the default of cleanup.

use super::{Answer, Finding, Scene, counted};

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    scene.count_in_views(include_str!("past_retention.sql"), judge).await
}

fn judge(number: u64) -> Finding {
    counted(
        number,
        "sessions that ended over 90 days ago",
        "run sessctl cleanup, and have cron or sessctl schedule run it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_past_retention_are_counted() {
        assert_eq!(judge(0).message, "none");
        assert_eq!(judge(1).message, "1 session that ended over 90 days ago");
        assert_eq!(judge(1_234).message, "1,234 sessions that ended over 90 days ago");
    }
}
