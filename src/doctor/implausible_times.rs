//! Sessions with times that are infinite, before 2000 or in the future.

use super::{Answer, Finding, Scene, counted};

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    scene.count(include_str!("implausible_times.sql"), judge).await
}

fn judge(number: u64) -> Finding {
    counted(
        number,
        "sessions with implausible times",
        "let the server set the times (now()); maintenance tolerates such times",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_with_implausible_times_are_counted() {
        assert_eq!(judge(0).message, "none");
        assert_eq!(judge(1).message, "1 session with implausible times");
        assert_eq!(judge(1_234).message, "1,234 sessions with implausible times");
    }
}
