//! Whether the schema is what the migrations make: verify's verdict, in a word.

use super::scene::Scene;
use super::{Answer, Finding, ok, problem, warning};
use crate::schema::{ADOPT, DECLARED, Difference, Found, Team, UNRECORDED, Verdict, WITHOUT_INDEXES};

pub(super) async fn check(scene: &Scene<'_>, team: &Team) -> Answer {
    let found = Found::read(scene.database).await?;
    Ok(Some(judge(&Verdict::of(&found, team))))
}

fn judge(verdict: &Verdict) -> Finding {
    let is_about_file = |extra: &Difference| [DECLARED, WITHOUT_INDEXES].contains(&&*extra.property);
    if verdict.ok && verdict.extra.iter().any(is_about_file) {
        warning(
            "sessctl.toml declares other lists than are in force",
            "run sessctl migrate",
        )
    } else if verdict.ok {
        ok("up to date")
    } else if verdict.unrecorded {
        problem(UNRECORDED, ADOPT)
    } else {
        let hint = match verdict.pending.is_empty() {
            true => format!("{}; sessctl verify shows each difference", verdict.hint()),
            false => verdict.hint().into(),
        };
        problem("differs from the schema of this sessctl", hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(ok: bool, unrecorded: bool) -> Verdict {
        Verdict {
            ok,
            version: 0,
            unrecorded,
            pending: vec![],
            drift: vec![],
            extra: vec![],
            allowed: vec![],
            absent: vec![],
        }
    }

    #[test]
    fn a_difference_is_a_problem_and_a_copy_without_a_history_is_named() {
        assert_eq!(judge(&verdict(true, false)), ok("up to date"));
        assert_eq!(
            judge(&verdict(false, false)).hint.as_deref(),
            Some("drop what is extra, or --allow it; sessctl verify shows each difference")
        );
        assert_eq!(judge(&verdict(false, true)), problem(UNRECORDED, ADOPT));
    }
}
