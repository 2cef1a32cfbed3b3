//! Which of the platform's two sets of default privileges the project has, and whether the table is open to the API
//! beyond what sessctl grants.

use serde::Deserialize;

use super::scene::Scene;
use super::{Answer, Finding, ok, warning};

#[derive(Deserialize)]
struct Facts {
    is_open: bool,
    /// Absent without the table.
    rights: Option<Vec<Right>>,
}

#[derive(Deserialize)]
struct Right {
    role: String,
    privilege: String,
}

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    let facts = scene.ask(include_str!("grants.sql")).await?;
    Ok(Some(judge(&facts, scene.objects.has_views)))
}

fn judge(facts: &Facts, is_migrated: bool) -> Finding {
    let default = if facts.is_open {
        "open: new objects in public are readable over the API (projects made before 30 May 2026)"
    } else {
        "closed: new objects in public are not readable over the API"
    };
    let Some(rights) = &facts.rights else {
        return ok(default);
    };
    let extra: Vec<String> = ["anon", "authenticated"]
        .iter()
        .filter_map(|role| extra(rights, role))
        .collect();
    if extra.is_empty() {
        return ok(format!("{default}; anon has no right on public.user_sessions"));
    }
    warning(
        format!("{}; {default}", extra.join("; ")),
        if is_migrated {
            "run sessctl verify"
        } else {
            "run sessctl migrate"
        },
    )
}

/// The rights of a role that sessctl does not grant, in words.
fn extra(rights: &[Right], role: &str) -> Option<String> {
    let is_granted = |privilege: &str| role == "authenticated" && ["SELECT", "INSERT", "UPDATE"].contains(&privilege);
    let of_role = rights.iter().filter(|right| right.role == role);
    let names = of_role.map(|right| right.privilege.as_str());
    let extra: Vec<&str> = names.filter(|privilege| !is_granted(privilege)).collect();
    (!extra.is_empty()).then(|| format!("{role} has {} on public.user_sessions", extra.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(is_open: bool, rights: &[(&str, &str)]) -> Facts {
        let rights = rights.iter().map(|(role, privilege)| Right {
            role: (*role).into(),
            privilege: (*privilege).into(),
        });
        Facts {
            is_open,
            rights: Some(rights.collect()),
        }
    }

    #[test]
    fn the_rights_that_sessctl_grants_are_fine_with_either_default() {
        let granted = [("authenticated", "SELECT"), ("authenticated", "UPDATE")];
        for (is_open, start) in [(true, "open: "), (false, "closed: ")] {
            let finding = judge(&facts(is_open, &granted), true);
            assert_eq!(finding.hint, None);
            assert!(finding.message.starts_with(start));
        }
    }

    #[test]
    fn other_rights_are_named_by_role() {
        let rights = [
            ("anon", "SELECT"),
            ("authenticated", "SELECT"),
            ("authenticated", "DELETE"),
        ];
        let finding = judge(&facts(true, &rights), false);
        let expected =
            "anon has SELECT on public.user_sessions; authenticated has DELETE on public.user_sessions; open: ";
        assert!(finding.message.starts_with(expected), "{}", finding.message);
        assert_eq!(finding.hint.as_deref(), Some("run sessctl migrate"));
        assert_eq!(
            judge(&facts(true, &rights), true).hint.as_deref(),
            Some("run sessctl verify")
        );
    }

    #[test]
    fn without_the_table_the_default_is_all_there_is_to_say() {
        let absent = Facts {
            is_open: true,
            rights: None,
        };
        assert!(judge(&absent, false).message.ends_with("2026)"));
    }
}
