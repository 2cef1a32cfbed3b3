//! Sessions that resumed after they ended.

use super::scene::{ByIndex, Count, Scene};
use super::{Answer, Finding, counted};

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    scene
        .count(include_str!("resumed.sql"), ByIndex::None, &[], judge)
        .await
}

fn judge(number: Count) -> Finding {
    counted(
        number,
        "sessions with a heartbeat after ended_at",
        "let clients set status to active and ended_at to null when they resume; a larger --minutes ends fewer of them",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::exactly;

    #[test]
    fn resumed_sessions_are_counted() {
        assert_eq!(judge(exactly(0)).message, "none");
        assert_eq!(judge(exactly(1)).message, "1 session with a heartbeat after ended_at");
        assert_eq!(
            judge(exactly(1_234)).message,
            "1,234 sessions with a heartbeat after ended_at"
        );
    }
}
