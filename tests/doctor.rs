//! `sessctl doctor`: what it says of a healthy database, and of each that is not.

use std::collections::BTreeMap;

use sessctl::sandbox::Grants;

use crate::common::{Db, Run};

#[test]
fn doctor_is_quiet_about_a_healthy_database_and_tells_what_is_wrong() {
    let db = Db::migrated(Grants::Closed);
    let json = db.sessctl(&["doctor", "--format", "json"]).ok().json();
    assert_eq!(json["ok"], true);
    let checks: Vec<&str> = json["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["check"].as_str().unwrap())
        .collect();
    assert_eq!(checks.last(), Some(&"schema"));
    for check in [
        "connection",
        "tls",
        "server",
        "clock",
        "role",
        "grants",
        "silent",
        "ended long ago",
        "impossible times",
        "client clocks",
        "went on",
        "dead rows",
        "old transactions",
        "realtime",
        "schedule",
    ] {
        assert!(checks.contains(&check), "{check}");
    }
    crate::migrate::fill(&db, 5);
    db.client()
        .batch_execute(
            "update public.user_sessions set last_heartbeat_at = now() - interval '2 hours' where session_id = '1';
             update public.user_sessions set status = 'ended', ended_at = now() - interval '100 days' where session_id = '2';
             update public.user_sessions set started_at = 'infinity' where session_id = '3';
             update public.user_sessions set status = 'timeout', ended_at = now() - interval '1 hour' where session_id = '4'",
        )
        .unwrap();
    let publication = format!("realtime_{}", db.name);
    db.admin().batch_execute(&format!("create publication {publication} for table public.user_sessions; alter table public.user_sessions disable row level security")).unwrap();
    db.sessctl(&["doctor"])
        .exits(1)
        .says("1 session active without a sign of life")
        .says("1 session that ended over 90 days ago")
        .says("1 session with times that can't be")
        .says("2 sessions with a heartbeat after they were ended")
        .says("a sweep or cleanup streams an event for each row")
        .says("not in step with this sessctl");
    let db = Db::fresh(Grants::Open);
    db.sessctl(&["doctor"])
        .exits(1)
        .says("open: new objects")
        .says("run sessctl migrate");
}

#[test]
fn a_check_that_fails_is_a_warning_and_the_others_go_on() {
    let db = Db::migrated(Grants::Closed);
    let mut holder = db.client();
    holder.batch_execute("begin; lock table public.user_sessions").unwrap();
    let checks = checks(&db.sessctl(&["doctor", "--format", "json"]).ok());
    let (level, message, hint) = &checks["silent"];
    assert_eq!(level, "warning");
    assert!(message.contains("lock timeout"), "{message}");
    assert!(hint.contains("pg_terminate_backend("), "{hint}");
    for check in ["role", "dead rows", "realtime"] {
        assert_eq!(checks[check].0, "ok", "{check}");
    }
}

/// Level, message and hint by the check's name.
fn checks(run: &Run) -> BTreeMap<String, (String, String, String)> {
    let json = run.json();
    let lines = json["checks"].as_array().unwrap().iter().map(|line| {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        (text("check"), (text("level"), text("message"), text("remedy")))
    });
    lines.collect()
}
