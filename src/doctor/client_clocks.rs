//! Active sessions whose clients write heartbeats by a clock that is late.

use super::{Answer, Finding, Scene, counted};

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    scene.count(include_str!("client_clocks.sql"), judge).await
}

fn judge(number: u64) -> Finding {
    counted(
        number,
        "active sessions whose last heartbeat is over 10 minutes before the last update",
        "let clients set last_heartbeat_at to now(), the server's time",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_late_clocks_are_counted() {
        assert_eq!(judge(0).message, "none");
        assert_eq!(
            judge(1).message,
            "1 active session whose last heartbeat is over 10 minutes before the last update"
        );
        assert_eq!(
            judge(1_234).message,
            "1,234 active sessions whose last heartbeat is over 10 minutes before the last update"
        );
    }
}
