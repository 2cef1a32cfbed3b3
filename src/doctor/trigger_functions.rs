//! Functions of triggers on the table that work for one search_path and fail for another.

use serde::Deserialize;

use super::scene::Scene;
use super::{Answer, Finding, ok, warning};

#[derive(Deserialize)]
struct Trigger {
    /// Quoted where SQL needs it, as is the function.
    trigger: String,
    function: String,
}

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    let triggers: Vec<Trigger> = scene.ask(include_str!("trigger_functions.sql")).await?;
    Ok(Some(judge(&triggers)))
}

fn judge(triggers: &[Trigger]) -> Finding {
    if triggers.is_empty() {
        return ok("each has a search_path of its own");
    }
    let named: Vec<String> = triggers
        .iter()
        .map(|Trigger { trigger, function }| format!("{function}() of trigger {trigger}"))
        .collect();
    let mut fixes: Vec<String> = triggers
        .iter()
        .map(|Trigger { function, .. }| format!("alter function {function}() set search_path = public, extensions"))
        .collect();
    fixes.dedup();
    warning(
        format!(
            "no search_path of its own: {}; where its names are unqualified, maintenance fails",
            named.join(", ")
        ),
        fixes.join("; "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_without_a_search_path_is_named_with_its_fix() {
        assert_eq!(judge(&[]), ok("each has a search_path of its own"));
        let audit = |trigger: &str| Trigger {
            trigger: trigger.into(),
            function: "public.audit".into(),
        };
        let finding = judge(&[audit("a"), audit("b")]);
        assert!(
            finding
                .message
                .contains("public.audit() of trigger a, public.audit() of trigger b")
        );
        assert_eq!(
            finding.hint.as_deref(),
            Some("alter function public.audit() set search_path = public, extensions")
        );
    }
}
