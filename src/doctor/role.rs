//! What the role may do, and whether it sees all sessions.

use serde::Deserialize;

use super::scene::Scene;
use super::{Answer, Finding, ok, problem, warning};

/// The superuser of a hosted project, as whom nobody but the platform connects.
const HOSTED_SUPERUSER: &str = "supabase_admin";

#[derive(Default, Deserialize)]
struct Facts {
    name: String,
    is_superuser: bool,
    bypasses_rls: bool,
    owner: Option<String>,
    owns_table: Option<bool>,
    may_create: bool,
    is_filtered: Option<bool>,
}

impl Facts {
    /// The name, and the rights that matter here.
    fn description(&self) -> String {
        let rights = [
            (self.is_superuser, "superuser"),
            (self.bypasses_rls, "bypasses row level security"),
            (self.owns_table == Some(true), "owns the table"),
            (self.may_create && self.owns_table != Some(false), "may migrate"),
        ];
        let rights: Vec<&str> = rights.iter().filter(|(has, _)| *has).map(|(_, right)| *right).collect();
        if rights.is_empty() {
            self.name.clone()
        } else {
            format!("{}: {}", self.name, rights.join(", "))
        }
    }
}

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    Ok(Some(judge(&scene.ask(include_str!("role.sql")).await?)))
}

fn judge(facts: &Facts) -> Finding {
    let text = facts.description();
    if facts.is_filtered == Some(true) {
        problem(
            format!("{text}; row level security hides sessions from it"),
            "use postgres, or a role with BYPASSRLS",
        )
    } else if facts.owns_table == Some(false) {
        let owner = facts.owner.as_deref().unwrap_or("another role");
        warning(
            format!("{text}; it can't migrate, the table belongs to {owner}"),
            if owner == HOSTED_SUPERUSER {
                "ask Supabase's support, or the superuser of your own server, to run: alter table public.user_sessions owner to \
                 postgres"
            } else {
                "use the table's owner for sessctl migrate"
            },
        )
    } else {
        ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            name: "ci".into(),
            ..Facts::default()
        }
    }

    #[test]
    fn the_owner_is_fine_and_its_rights_are_listed() {
        let owner = Facts {
            bypasses_rls: true,
            owns_table: Some(true),
            may_create: true,
            is_filtered: Some(false),
            ..facts()
        };
        assert_eq!(
            judge(&owner),
            ok("ci: bypasses row level security, owns the table, may migrate")
        );
        assert_eq!(judge(&facts()), ok("ci"));
    }

    #[test]
    fn a_role_that_sees_only_some_sessions_is_a_problem_and_one_that_cannot_migrate_a_warning() {
        let stranger = Facts {
            owns_table: Some(false),
            may_create: true,
            is_filtered: Some(false),
            ..facts()
        };
        assert_eq!(
            judge(&stranger).message,
            "ci; it can't migrate, the table belongs to another role"
        );
        let hosted = Facts {
            owner: Some("supabase_admin".into()),
            ..stranger
        };
        let hint = judge(&hosted).hint.unwrap();
        assert!(hint.contains("Supabase's support"), "{hint}");
        let filtered = Facts {
            is_filtered: Some(true),
            ..hosted
        };
        assert_eq!(judge(&filtered).level, crate::doctor::Level::Problem);
    }
}
