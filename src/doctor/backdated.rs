//! Ended sessions whose users may have written an end of long ago, which has them deleted early.

use super::scene::{ByIndex, Count, Scene};
use super::{Answer, Finding, counted};

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    scene
        .count(include_str!("backdated.sql"), ByIndex::None, &[], judge)
        .await
}

fn judge(number: Count) -> Finding {
    counted(
        number,
        "ended sessions whose ended_at is over a day before created_at",
        "cleanup deletes them early; the security policy has the statements that keep users from writing times",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::exactly;

    #[test]
    fn backdated_sessions_are_counted() {
        assert_eq!(judge(exactly(0)).message, "none");
        assert_eq!(
            judge(exactly(1)).message,
            "1 ended session whose ended_at is over a day before created_at"
        );
    }
}
