//! Whether the connection is encrypted, and the certificate verified.

use serde::Deserialize;

use super::scene::Scene;
use super::{Answer, Finding, ok, warning};
use crate::config::{SslMode, SupabaseHost};

#[derive(Default, Deserialize)]
struct Facts {
    /// Absent without TLS.
    version: Option<String>,
}

/// What the connection string asks for.
struct Wish {
    host: String,
    mode: SslMode,
    verifies: bool,
}

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    let target = scene.database.target();
    let (host, _) = target.address();
    let wish = Wish {
        host,
        mode: target.tls.mode,
        verifies: target.tls.root.is_some(),
    };
    Ok(Some(judge(&scene.ask(include_str!("tls.sql")).await?, &wish)))
}

fn judge(facts: &Facts, wish: &Wish) -> Finding {
    // Behind a pooler the server knows of the pooler's connection, not of this one.
    let (encrypted, version) = if SupabaseHost::of(&wish.host) == Some(SupabaseHost::Pooler) {
        (wish.mode > SslMode::Prefer, "TLS")
    } else {
        (facts.version.is_some(), facts.version.as_deref().unwrap_or_default())
    };
    let local = wish.host.starts_with('/') || wish.mode <= SslMode::Prefer;
    match (encrypted, wish.verifies) {
        (true, true) => ok(format!("{version}, certificate verified ({})", wish.mode)),
        (true, false) => warning(
            format!("{version}, certificate not verified ({})", wish.mode),
            "download the CA in the dashboard (Database Settings, SSL Configuration), then sslmode=verify-full and sslrootcert=PATH",
        ),
        (false, _) if local => ok("none; the connection is local, or sslmode allows it"),
        (false, _) => warning("none", "use sslmode=require or stronger"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    const POOLER: &str = "aws-0-eu-central-1.pooler.supabase.com";

    fn judged(version: Option<&str>, host: &str, mode: SslMode, verifies: bool) -> (Level, String) {
        let facts = Facts {
            version: version.map(ToOwned::to_owned),
        };
        let wish = Wish {
            host: host.into(),
            mode,
            verifies,
        };
        let finding = judge(&facts, &wish);
        (finding.level, finding.message)
    }

    #[test]
    fn a_certificate_that_is_not_verified_is_a_warning() {
        let host = "db.example.org";
        let (level, message) = judged(Some("TLSv1.3"), host, SslMode::VerifyFull, true);
        assert_eq!(
            (level, message.starts_with("TLSv1.3, ")),
            (Level::Ok, true),
            "{message}"
        );
        assert_eq!(judged(Some("TLSv1.3"), host, SslMode::Require, false).0, Level::Warning);
    }

    #[test]
    fn no_tls_is_a_warning_unless_local_or_asked_for() {
        assert_eq!(judged(None, "db.example.org", SslMode::Disable, false).0, Level::Ok);
        assert_eq!(judged(None, "/run/postgresql", SslMode::Require, false).0, Level::Ok);
        assert_eq!(
            judged(None, "db.example.org", SslMode::Require, false).0,
            Level::Warning
        );
    }

    #[test]
    fn behind_a_pooler_the_servers_connection_says_nothing_of_ours() {
        assert_eq!(judged(None, POOLER, SslMode::VerifyFull, true).0, Level::Ok);
        let (level, message) = judged(Some("TLSv1.3"), POOLER, SslMode::Disable, false);
        assert_eq!((level, message.starts_with("none")), (Level::Ok, true), "{message}");
    }
}
