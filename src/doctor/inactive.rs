//! Active sessions that were not seen for longer than the default of end-inactive.

use super::{Answer, Finding, Scene, counted};

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    scene.count_in_views(include_str!("inactive.sql"), judge).await
}

fn judge(number: u64) -> Finding {
    counted(
        number,
        "active sessions not seen for over an hour",
        "run sessctl end-inactive, and have cron or sessctl schedule run it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inactive_sessions_are_counted() {
        assert_eq!(judge(0).message, "none");
        assert_eq!(judge(1).message, "1 active session not seen for over an hour");
        assert_eq!(judge(1_234).message, "1,234 active sessions not seen for over an hour");
    }
}
