//! Sessions with times that are infinite, before 2000 or in the future.

use super::scene::{ByIndex, Count, Scene};
use super::{Answer, Finding, counted};

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    scene
        .count(
            include_str!("implausible_times.sql"),
            ByIndex::Some(include_str!("implausible_times_by_index.sql")),
            &[],
            judge,
        )
        .await
}

fn judge(number: Count) -> Finding {
    counted(
        number,
        "sessions with implausible times",
        "let the server set the times (now()); maintenance tolerates such times",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::exactly;

    #[test]
    fn sessions_with_implausible_times_are_counted() {
        assert_eq!(judge(exactly(0)).message, "none");
        assert_eq!(judge(exactly(1)).message, "1 session with implausible times");
        assert_eq!(judge(exactly(1_234)).message, "1,234 sessions with implausible times");
    }
}
