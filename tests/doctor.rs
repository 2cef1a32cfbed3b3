//! `sessctl doctor`: what it says of a healthy database, and of each that is not.

use std::collections::BTreeMap;

use sessctl::sandbox::Grants;

use crate::common::{Db, ORIGINAL_SCRIPT, Run, sessctl};

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
        "inactive",
        "past-retention",
        "implausible-times",
        "client-clocks",
        "resumed",
        "dead-rows",
        "old-transactions",
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
        .says("1 active session not seen for over an hour")
        .says("1 session that ended over 90 days ago")
        .says("1 session with implausible times")
        .says("2 sessions with a heartbeat after ended_at")
        .says("end-inactive and cleanup stream an event for each row")
        .says("differs from the schema of this sessctl");
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
    let (level, message, hint) = &checks["inactive"];
    assert_eq!(level, "warning");
    assert!(message.contains("lock timeout"), "{message}");
    assert!(hint.contains("pg_terminate_backend("), "{hint}");
    for check in ["role", "dead-rows", "realtime"] {
        assert_eq!(checks[check].0, "ok", "{check}");
    }
}

#[test]
fn before_a_migration_the_counts_that_need_the_rules_say_so() {
    let db = Db::fresh(Grants::Closed);
    db.client().batch_execute(ORIGINAL_SCRIPT).unwrap();
    let checks = checks(&db.sessctl(&["doctor", "--format", "json"]).exits(1));
    for check in ["inactive", "past-retention"] {
        let (level, message, hint) = &checks[check];
        assert_eq!(
            (level.as_str(), message.as_str(), hint.as_str()),
            (
                "warning",
                "not counted: the database is not migrated",
                "run sessctl migrate"
            ),
        );
    }
    for check in ["implausible-times", "client-clocks", "resumed"] {
        assert_eq!(checks[check].1, "none", "{check}");
    }
}

#[test]
fn a_role_that_may_not_read_the_views_is_told_so() {
    let db = Db::migrated(Grants::Closed);
    let role = format!("reader_{}", db.name);
    let grants =
        format!("create role {role} login bypassrls password 'reads'; grant select on public.user_sessions to {role}");
    db.admin().batch_execute(&grants).unwrap();
    let url = db.url_as(&role, "reads");
    let checks = checks(&Run::of(
        sessctl().env("DATABASE_URL", url).args(["doctor", "--format", "json"]),
    ));
    db.admin()
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .unwrap();
    assert!(
        checks["inactive"].1.contains("permission denied for schema sessctl"),
        "{checks:?}"
    );
    assert_eq!(checks["implausible-times"].1, "none");
}

#[test]
fn the_rights_that_the_api_has_on_the_table_are_told_as_they_are() {
    let db = Db::fresh(Grants::Open);
    db.client().batch_execute(ORIGINAL_SCRIPT).unwrap();
    let grants = |code| checks(&db.sessctl(&["doctor", "--format", "json"]).exits(code))["grants"].clone();
    let (level, message, hint) = grants(1);
    assert_eq!((level.as_str(), hint.as_str()), ("warning", "run sessctl migrate"));
    let expected = "anon has SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER on public.user_sessions; ";
    assert!(message.starts_with(expected), "{message}");
    db.sessctl(&["migrate"]).ok();
    let (level, message, _) = grants(0);
    assert_eq!(level, "ok");
    assert!(
        message.ends_with("; anon has no right on public.user_sessions"),
        "{message}"
    );
    db.client()
        .batch_execute("grant select (ip_address) on public.user_sessions to anon")
        .unwrap();
    let (level, message, hint) = grants(1);
    assert_eq!((level.as_str(), hint.as_str()), ("warning", "run sessctl verify"));
    assert!(
        message.starts_with("anon has SELECT on public.user_sessions; "),
        "{message}"
    );
}

/// Level, message and hint by the check's name.
fn checks(run: &Run) -> BTreeMap<String, (String, String, String)> {
    let json = run.json();
    let lines = json["checks"].as_array().unwrap().iter().map(|line| {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        (text("check"), (text("level"), text("message"), text("hint")))
    });
    lines.collect()
}
