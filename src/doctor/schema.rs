//! Whether the schema is what the migrations make: verify's verdict, in a word.

use super::scene::Scene;
use super::{Answer, Finding, ok, problem};
use crate::schema::is_up_to_date;

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    Ok(Some(judge(is_up_to_date(scene.database).await?)))
}

fn judge(is_up_to_date: bool) -> Finding {
    if is_up_to_date {
        ok("up to date")
    } else {
        problem("differs from the schema of this sessctl", "run sessctl verify")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_difference_is_a_problem() {
        assert_eq!(judge(true).level, Level::Ok);
        assert_eq!(judge(false).level, Level::Problem);
    }
}
