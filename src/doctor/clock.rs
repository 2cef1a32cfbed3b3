//! Whether this machine's clock agrees with the server's.

use chrono::{DateTime, Utc};

use super::scene::Scene;
use super::{Answer, Finding, ok, warning};

/// A clock that differs by more than this from the server's makes ages hard to read, in seconds.
const TOLERANCE: u64 = 5;

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    let before = Utc::now();
    let servers: DateTime<Utc> = scene.ask(include_str!("clock.sql")).await?;
    Ok(Some(judge(servers.signed_duration_since(before).num_seconds())))
}

fn judge(skew: i64) -> Finding {
    if skew.unsigned_abs() > TOLERANCE {
        warning(
            format!("differs from the server's by {} s", skew.unsigned_abs()),
            "set this machine's clock; cutoffs use the server's",
        )
    } else {
        ok("agrees with the server's")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn more_than_five_seconds_either_way_are_a_warning() {
        for (skew, level) in [
            (0, Level::Ok),
            (5, Level::Ok),
            (-5, Level::Ok),
            (6, Level::Warning),
            (-3600, Level::Warning),
        ] {
            assert_eq!(judge(skew).level, level, "{skew}");
        }
    }
}
