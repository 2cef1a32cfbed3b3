//! `sessctl doctor`: what it says of a healthy database, and of each that is not.

use std::collections::BTreeMap;

use sessctl::sandbox::Grants;

use crate::common::{Db, ORIGINAL_SCRIPT, Run, number, sessctl};

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
        "end-inactive-job",
        "cleanup-job",
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
             update public.user_sessions set status = 'ended', started_at = '2020-01-01', ended_at = now() - interval '100 days' where session_id = '2';
             update public.user_sessions set started_at = 'infinity' where session_id = '3';
             update public.user_sessions set status = 'timeout', started_at = '2020-01-01', ended_at = now() - interval '1 hour' where session_id = '4'",
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

#[test]
fn a_job_is_alive_while_its_runs_come_as_expected_whoever_runs_it() {
    let db = Db::migrated(Grants::Closed);
    let mut client = db.client();
    let job = |arguments: &[&str]| {
        checks(&db.sessctl(&[&["doctor", "--format", "json"], arguments].concat()))["end-inactive-job"].clone()
    };
    assert_eq!(job(&[]).1, "has not run yet");
    db.sessctl(&["end-inactive", "--minutes", "30"]).ok();
    let (level, message, _) = job(&["--expect-every", "10m"]);
    assert_eq!(level, "ok");
    assert!(message.ends_with(" s ago (cli)"), "{message}");
    client
        .batch_execute("update sessctl.run set started_at = now() - interval '30 minutes'")
        .unwrap();
    assert_eq!(job(&[]).0, "ok");
    let (level, message, hint) = job(&["--expect-every", "10m"]);
    assert_eq!(level, "problem");
    assert_eq!(
        message,
        "the last run was 30 min ago (cli), and one is expected every 10 min"
    );
    assert_eq!(
        hint,
        "have cron run sessctl end-inactive --minutes 30, or run sessctl schedule install --minutes 30 --days 90"
    );
    // A run that was skipped is none.
    let mut other = db.client();
    other
        .batch_execute("begin; select pg_advisory_xact_lock(1936028531, 2)")
        .unwrap();
    let skipped = db.sessctl(&["end-inactive", "--format", "json"]).json();
    assert_eq!(skipped["skipped"], true);
    assert_eq!(job(&["--expect-every", "10m"]).0, "problem");
    other.batch_execute("rollback").unwrap();
    // Without an expectation it is a day.
    client
        .batch_execute("update sessctl.run set started_at = now() - interval '3 days'")
        .unwrap();
    assert_eq!(job(&[]).0, "warning");
    db.sessctl(&["doctor"]).ok();
    db.sessctl(&["doctor", "--fail-on", "warning"]).exits(1);
    crate::migrate::fill(&db, 1);
    client
        .batch_execute("update public.user_sessions set last_heartbeat_at = now() - interval '26 hours'")
        .unwrap();
    let (level, message, _) = job(&[]);
    assert_eq!(level, "problem");
    assert!(
        message.ends_with("; the oldest session has been due for 1 d 1 h"),
        "{message}"
    );
    // Any client of the API or of psql.
    client.batch_execute("select sessctl.end_inactive(30)").unwrap();
    let (level, message, _) = job(&["--expect-every", "10m"]);
    assert_eq!(level, "ok");
    assert!(message.ends_with(" s ago (sql)"), "{message}");
}

#[test]
fn a_run_that_failed_or_was_cut_off_is_not_fine() {
    let db = Db::migrated(Grants::Closed);
    crate::migrate::fill(&db, 3);
    db.client()
        .batch_execute(
            "update public.user_sessions set status = 'ended', started_at = '2020-01-01', ended_at = now() - interval '100 days',
               last_heartbeat_at = now() - interval '100 days'",
        )
        .unwrap();
    let job = || checks(&db.sessctl(&["doctor", "--format", "json"]))["cleanup-job"].clone();
    db.client().batch_execute("select sessctl.cleanup(90, 1)").unwrap();
    let (level, message, hint) = job();
    assert_eq!(level, "warning");
    assert!(message.starts_with("the last run met its limit "), "{message}");
    assert!(
        message.ends_with("; the oldest session has been due for 10 d 0 h"),
        "{message}"
    );
    assert!(hint.ends_with("sessctl cleanup --days 90"), "{hint}");
    db.client()
        .batch_execute("update sessctl.run set outcome = 'failed', message = 'out of luck'")
        .unwrap();
    let (level, message, _) = job();
    assert_eq!(level, "problem");
    assert!(message.contains("out of luck"), "{message}");
    db.sessctl(&["cleanup"]).ok();
    assert_eq!(job().0, "ok");
}

#[test]
fn thresholds_are_those_of_the_last_run_or_of_the_flags() {
    let db = Db::migrated(Grants::Closed);
    crate::migrate::fill(&db, 2);
    db.client()
        .batch_execute(
            "update public.user_sessions set status = 'ended', started_at = '2020-01-01', ended_at = now() - interval '100 days',
               last_heartbeat_at = now() - interval '100 days' where session_id = '1';
             update public.user_sessions set last_heartbeat_at = now() - interval '90 minutes' where session_id = '2'",
        )
        .unwrap();
    let all = |arguments: &[&str]| checks(&db.sessctl(&[&["doctor", "--format", "json"], arguments].concat()));
    let found = all(&[]);
    assert_eq!(found["inactive"].1, "1 active session not seen for over an hour");
    assert_eq!(found["past-retention"].1, "1 session that ended over 90 days ago");
    db.sessctl(&["cleanup", "--days", "365"]).ok();
    db.sessctl(&["end-inactive", "--minutes", "120"]).ok();
    let found = all(&[]);
    for check in ["inactive", "past-retention", "end-inactive-job", "cleanup-job"] {
        assert_eq!(found[check].0, "ok", "{check}");
    }
    let found = all(&["--minutes", "80", "--days", "99"]);
    assert_eq!(found["inactive"].1, "1 active session not seen for over 80 minutes");
    assert_eq!(found["past-retention"].1, "1 session that ended over 99 days ago");
    assert!(found["past-retention"].2.contains("sessctl cleanup --days 99"));
}

#[test]
fn what_will_stop_maintenance_is_named_before_it_does() {
    let db = Db::migrated(Grants::Closed);
    let found = checks(&db.sessctl(&["doctor", "--format", "json"]).ok());
    assert!(!found.contains_key("replica-identity"));
    for check in ["foreign-keys", "trigger-functions"] {
        assert_eq!(found[check].0, "ok", "{check}");
    }
    let publication = format!("streams_{}", db.name);
    db.admin()
        .batch_execute(&format!(
            "create table public.events (id bigint primary key, session uuid constraint kept references public.user_sessions);
             create index on public.events (session, id);
             create table public.\"Notes\" (session uuid constraint slow references public.user_sessions on delete cascade);
             create index on public.\"Notes\" (session) where session < '0fffffff-0000-4000-8000-000000000000';
             create table public.pages (session text constraint fine references public.user_sessions (session_id) on delete set null);
             create index on public.pages (session) where session is not null;
             create function public.audit() returns trigger language plpgsql as 'begin return null; end';
             create trigger audit after insert on public.user_sessions for each row execute function public.audit();
             create function public.safe() returns trigger language plpgsql set search_path = '' as 'begin return null; end';
             create trigger safe after insert on public.user_sessions for each row execute function public.safe();
             create publication {publication} for table public.user_sessions, public.\"Notes\""
        ))
        .unwrap();
    let found = checks(&db.sessctl(&["doctor", "--format", "json"]));
    let (level, message, hint) = &found["foreign-keys"];
    assert_eq!(level, "warning");
    assert!(
        message.contains("kept of public.events has no on delete action"),
        "{message}"
    );
    let slow = "no index of public.\"Notes\" begins with session of slow";
    assert!(message.contains(slow), "{message}");
    assert!(
        !message.contains("fine") && message.matches("no index of").count() == 1,
        "{message}"
    );
    assert!(
        hint.contains("references public.user_sessions (id) on delete cascade"),
        "{hint}"
    );
    assert!(
        hint.ends_with("create index concurrently on public.\"Notes\" (session)"),
        "{hint}"
    );
    db.sessctl(&["verify"])
        .exits(1)
        .says("public.\"Notes\" (slow, without an index), public.events (kept), public.pages (fine)");
    let (level, message, hint) = &found["trigger-functions"];
    assert_eq!(level, "warning");
    assert!(message.contains("public.audit() of trigger audit;"), "{message}");
    assert_eq!(
        hint,
        "alter function public.audit() set search_path = public, extensions"
    );
    let (level, message, _) = &found["replica-identity"];
    assert_eq!(level, "problem");
    assert!(message.starts_with("public.\"Notes\" is in "), "{message}");
    // What the hints say is done.
    db.admin()
        .batch_execute(
            "alter table public.events drop constraint kept, add constraint kept foreign key (session) references
               public.user_sessions (id) on delete cascade;
             create index on public.\"Notes\" (session);
             alter function public.audit() set search_path = public, extensions;
             alter table public.\"Notes\" add primary key (session), replica identity default",
        )
        .unwrap();
    let found = checks(&db.sessctl(&["doctor", "--format", "json"]));
    for check in ["foreign-keys", "trigger-functions", "replica-identity"] {
        assert_eq!(found[check].0, "ok", "{:?}", found[check]);
    }
}

/// A few sessions to a block: the table is large for doctor, and the test is short.
pub const LARGE: &str = "
  alter table public.user_sessions set (fillfactor = 10);
  alter table public.user_sessions disable trigger user;
  insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
  insert into public.user_sessions
    (user_id, session_id, platform, status, started_at, last_activity_at, last_heartbeat_at, updated_at, ended_at)
  select '00000000-0000-4000-8000-000000000001', n::text, 'web', case n % 2 when 0 then 'active' else 'ended' end,
    now() - interval '190 days', now() - interval '190 days', now() - interval '190 days', now() - interval '190 days',
    case n % 2 when 0 then null else now() - interval '190 days' end
  from generate_series(1, 24000) n;
  analyze public.user_sessions";

#[test]
fn of_a_large_table_many_sessions_are_estimated_and_few_are_counted() {
    let db = Db::migrated(Grants::Closed);
    let mut client = db.client();
    client.batch_execute(LARGE).unwrap();
    let blocks = "select pg_relation_size('public.user_sessions') / 8192";
    assert!(number(&mut client, blocks) > 4_096);
    let all = || checks(&db.sessctl(&["doctor", "--format", "json"]));
    let found = all();
    for check in ["inactive", "past-retention"] {
        let message = &found[check].1;
        let number: f64 = message
            .strip_prefix('~')
            .and_then(|rest| rest.split(' ').next())
            .map(|number| number.replace(',', "").parse().unwrap())
            .unwrap_or_else(|| panic!("{check}: {message}"));
        // Nine tenths of the true number to eleven: the sample has the same blocks each time.
        assert!((10_800.0..=13_200.0).contains(&number), "{check}: {message}");
    }
    assert!(
        found["end-inactive-job"].1.contains("has been due for 189 d"),
        "{found:?}"
    );
    assert!(found["cleanup-job"].1.contains("has been due for 100 d"), "{found:?}");
    for check in ["implausible-times", "client-clocks", "resumed"] {
        assert_eq!(found[check].1, "none in a sample of the table", "{check}");
    }
    // Three of each are found wherever they are.
    client
        .batch_execute(
            "update public.user_sessions set last_heartbeat_at = now(), last_activity_at = now(), started_at = now()
             where status = 'active' and session_id::int > 6;
             update public.user_sessions set ended_at = now() where status = 'ended' and session_id::int > 6;
             update public.user_sessions set started_at = 'infinity' where session_id in ('7', '8', '9');
             analyze public.user_sessions",
        )
        .unwrap();
    let found = all();
    assert_eq!(found["inactive"].1, "3 active sessions not seen for over an hour");
    assert_eq!(found["past-retention"].1, "3 sessions that ended over 90 days ago");
    assert_eq!(found["implausible-times"].1, "~3 sessions with implausible times");
}

#[test]
fn a_check_that_does_not_finish_in_time_says_so() {
    let db = Db::migrated(Grants::Closed);
    crate::migrate::fill(&db, 1);
    db.client()
        .batch_execute(
            "update public.user_sessions set status = 'ended', started_at = '2020-01-01', ended_at = now() - interval '100 days';
             drop view sessctl.ended_session cascade;
             create view sessctl.ended_session with (security_invoker = true) as
               select s.ctid as row_id, s.ended_at from public.user_sessions as s, pg_sleep(3)",
        )
        .unwrap();
    let found = checks(&db.sessctl(&["doctor", "--format", "json"]));
    let (level, message, hint) = &found["past-retention"];
    assert_eq!(
        (level.as_str(), message.as_str()),
        ("warning", "not finished within 1 s")
    );
    assert!(hint.contains("sessctl verify"), "{hint}");
    assert_eq!(found["inactive"].0, "ok");
}

/// Level, message and hint by the check's name.
pub fn checks(run: &Run) -> BTreeMap<String, (String, String, String)> {
    let json = run.json();
    let lines = json["checks"].as_array().unwrap().iter().map(|line| {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        (text("check"), (text("level"), text("message"), text("hint")))
    });
    lines.collect()
}
