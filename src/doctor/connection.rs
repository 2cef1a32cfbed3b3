//! Which way the connection takes: the Supabase poolers have their own limits.

use super::scene::Scene;
use super::{Answer, Finding, ok};
use crate::config::SupabaseHost;

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    let (host, port) = scene.database.target().address();
    Ok(Some(judge(&host, port)))
}

fn judge(host: &str, port: u16) -> Finding {
    ok(match (port, SupabaseHost::of(host)) {
        (6543, _) => "transaction pooler",
        (_, Some(SupabaseHost::Pooler)) => "session pooler",
        (_, Some(SupabaseHost::Direct)) => "direct",
        _ => "direct, or a pooler of your own",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_tell_a_pooler_from_a_direct_connection() {
        for (host, port, mode) in [
            ("aws-0-eu-central-1.pooler.supabase.com", 6543, "transaction pooler"),
            ("aws-0-eu-central-1.pooler.supabase.com", 5432, "session pooler"),
            ("db.abcdefghijklmnopqrst.supabase.co", 6543, "transaction pooler"),
            ("db.abcdefghijklmnopqrst.supabase.co", 5432, "direct"),
            ("127.0.0.1", 5432, "direct, or a pooler of your own"),
        ] {
            assert_eq!(judge(host, port), ok(mode), "{host}:{port}");
        }
    }
}
