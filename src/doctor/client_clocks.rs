//! Active sessions whose clients write heartbeats by a clock that is late.

use super::scene::{ByIndex, Count, Scene};
use super::{Answer, Finding, counted};

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    scene
        .count(include_str!("client_clocks.sql"), ByIndex::None, &[], judge)
        .await
}

fn judge(number: Count) -> Finding {
    counted(
        number,
        "active sessions whose last heartbeat is over 10 minutes before the last update",
        "let clients set last_heartbeat_at to now(), the server's time",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::exactly;

    #[test]
    fn sessions_of_late_clocks_are_counted() {
        assert_eq!(judge(exactly(0)).message, "none");
        assert_eq!(
            judge(exactly(1)).message,
            "1 active session whose last heartbeat is over 10 minutes before the last update"
        );
        assert_eq!(
            judge(exactly(1_234)).message,
            "1,234 active sessions whose last heartbeat is over 10 minutes before the last update"
        );
    }
}
