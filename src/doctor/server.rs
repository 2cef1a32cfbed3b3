//! The server's version, and whether it takes writes.

use serde::Deserialize;

use super::scene::Scene;
use super::{Answer, Finding, ok, problem};
use crate::database::READ_ONLY;

#[derive(Deserialize)]
struct Facts {
    version: String,
    version_num: i32,
    is_replica: bool,
    read_only: bool,
}

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    Ok(Some(judge(&scene.ask(include_str!("server.sql")).await?)))
}

fn judge(facts: &Facts) -> Finding {
    // The packager's part follows the number.
    let version = format!("PostgreSQL {}", facts.version.split(' ').next().unwrap_or_default());
    if facts.version_num < 150_000 {
        problem(
            format!("{version}; 15 or newer is required"),
            "upgrade the project's database",
        )
    } else if facts.is_replica {
        problem(
            format!("{version}; it is a replica"),
            "use the primary's connection string",
        )
    } else if facts.read_only {
        problem(format!("{version}; it is read-only"), READ_ONLY)
    } else {
        ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn an_old_or_read_only_server_and_a_replica_are_problems() {
        for (version, version_num, is_replica, read_only, level) in [
            ("15.8 (Debian 15.8-1)", 150_008, false, false, Level::Ok),
            ("17.4", 170_004, false, true, Level::Problem),
            ("17.4", 170_004, true, false, Level::Problem),
            ("14.2", 140_002, false, false, Level::Problem),
        ] {
            let facts = Facts {
                version: version.into(),
                version_num,
                is_replica,
                read_only,
            };
            let finding = judge(&facts);
            assert_eq!(finding.level, level, "{version}");
            assert!(!finding.message.contains("Debian"));
        }
    }
}
