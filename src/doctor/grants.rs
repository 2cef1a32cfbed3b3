//! Which of the platform's two sets of default privileges the project has.

use super::{Finding, Scene, ok};
use crate::failure::Failure;

pub(super) async fn check(scene: &Scene<'_>) -> Result<Option<Finding>, Failure> {
    Ok(Some(judge(scene.ask(include_str!("grants.sql")).await?)))
}

fn judge(are_open: bool) -> Finding {
    ok(if are_open {
        "open: new objects in public are readable over the API (projects made before 30 May 2026); ours are closed by name"
    } else {
        "closed: new objects in public are not readable over the API"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_generations_are_named() {
        assert!(judge(true).message.starts_with("open: "));
        assert!(judge(false).message.starts_with("closed: "));
    }
}
