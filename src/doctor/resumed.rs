//! Sessions that resumed after they ended.

use super::{Answer, Finding, Scene, counted};

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    scene.count(include_str!("resumed.sql"), judge).await
}

fn judge(number: u64) -> Finding {
    counted(
        number,
        "sessions with a heartbeat after ended_at",
        "let clients set status to active and ended_at to null when they resume; a larger --minutes ends fewer of them",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resumed_sessions_are_counted() {
        assert_eq!(judge(0).message, "none");
        assert_eq!(judge(1).message, "1 session with a heartbeat after ended_at");
        assert_eq!(judge(1_234).message, "1,234 sessions with a heartbeat after ended_at");
    }
}
