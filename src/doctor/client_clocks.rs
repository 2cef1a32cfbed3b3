//! Active sessions whose clients write heartbeats by a clock that is late.

use super::{Finding, Scene, counted};
use crate::failure::Failure;

pub(super) async fn check(scene: &Scene<'_>) -> Result<Option<Finding>, Failure> {
    scene.count(include_str!("client_clocks.sql"), judge).await
}

fn judge(number: u64) -> Finding {
    counted(
        number,
        "active sessions written long after the heartbeat that they tell",
        "let clients write now() of the server as last_heartbeat_at",
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
            "1 active session written long after the heartbeat that they tell"
        );
        assert_eq!(
            judge(1_234).message,
            "1,234 active sessions written long after the heartbeat that they tell"
        );
    }
}
