//! Which sessions end and which go: every rule, every poisoned row, and a random run against plain SQL.

use postgres::Client;
use postgres::error::SqlState;
use sessctl::sandbox::Grants;

use crate::common::{BOTH_GENERATIONS, Db, heartbeats};

const USER: &str = "00000000-0000-4000-8000-000000000001";

/// A migrated database with one user.
fn db() -> (Db, Client) {
    let db = Db::migrated(Grants::Closed);
    let mut client = db.client();
    client
        .execute("insert into auth.users (id) values ($1::text::uuid)", &[&USER])
        .unwrap();
    (db, client)
}

/// Adds a session; `columns` and `values` on top of those that must be there.
fn add(client: &mut Client, id: &str, columns: &str, values: &str) {
    let sql = format!(
        "insert into public.user_sessions (user_id, session_id, platform{}{columns}) values ('{USER}', '{id}', 'web'{}{values})",
        if columns.is_empty() { "" } else { ", " },
        if values.is_empty() { "" } else { ", " },
    );
    client.batch_execute(&sql).unwrap();
}

/// The ids of the sessions for which `condition` holds, in order.
fn ids(client: &mut Client, condition: &str) -> Vec<String> {
    let sql = format!("select session_id from public.user_sessions where {condition} order by session_id");
    client.query(&sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

#[test]
fn end_inactive_ends_what_was_last_seen_before_the_cutoff_and_writes_status_reason_time_and_duration() {
    let (db, mut client) = db();
    add(&mut client, "fresh", "", "");
    add(
        &mut client,
        "silent",
        "started_at, last_heartbeat_at",
        "now() - interval '3 hours', now() - interval '61 minutes'",
    );
    let run = db
        .sessctl(&["end-inactive", "--minutes", "60", "--format", "json"])
        .ok();
    assert_eq!(run.json()["ended"], 1);
    let row = client
        .query_one(
            "select status, end_reason, ended_at > now() - interval '1 minute', total_duration_seconds between 10800 and 10860, updated_at > created_at
             from public.user_sessions where session_id = 'silent'",
            &[],
        )
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "timeout");
    assert_eq!(row.get::<_, String>(1), "timeout");
    assert!(row.get::<_, bool>(2) && row.get::<_, bool>(3) && row.get::<_, bool>(4));
    assert_eq!(ids(&mut client, "status = 'active'"), ["fresh"]);
}

#[test]
fn the_last_sign_of_life_is_the_first_time_that_is_set_and_not_in_the_future() {
    let (db, mut client) = db();
    let columns = "last_heartbeat_at, last_activity_at, updated_at, created_at";
    let old = "now() - interval '2 hours'";
    for (id, values) in [
        (
            "kept: a fresh heartbeat wins over old activity",
            format!("now(), {old}, {old}, {old}"),
        ),
        (
            "ended: an old heartbeat wins over fresh activity",
            format!("{old}, now(), now(), now()"),
        ),
        (
            "kept: without a heartbeat, fresh activity counts",
            format!("null, now(), {old}, {old}"),
        ),
        (
            "ended: without a heartbeat, old activity counts",
            format!("null, {old}, now(), now()"),
        ),
        (
            "ended: a heartbeat far ahead does not count",
            format!("now() + interval '1 day', {old}, now(), now()"),
        ),
        (
            "kept: a heartbeat a little ahead counts",
            format!("now() + interval '4 minutes', {old}, {old}, {old}"),
        ),
        (
            "ended: an infinite heartbeat does not count",
            format!("'infinity', {old}, {old}, {old}"),
        ),
        (
            "ended: minus infinity is long ago",
            "'-infinity', now(), now(), now()".into(),
        ),
        (
            "ended: nothing but the future",
            "'infinity', 'infinity', 'infinity', 'infinity'".into(),
        ),
        (
            "kept: updated_at is the third",
            format!("null, 'infinity', now(), {old}"),
        ),
        (
            "kept: created_at is the fourth",
            "null, 'infinity', 'infinity', now()".into(),
        ),
    ] {
        add(&mut client, id, columns, &values);
    }
    db.sessctl(&["end-inactive"]).ok();
    assert!(
        ids(&mut client, "status = 'active'")
            .iter()
            .all(|id| id.starts_with("kept"))
    );
    assert!(
        ids(&mut client, "status = 'timeout'")
            .iter()
            .all(|id| id.starts_with("ended"))
    );
}

#[test]
fn a_session_last_seen_exactly_at_the_cutoff_is_kept() {
    let (_db, mut client) = db();
    // In one transaction now() stands still, so that the boundary can be met exactly.
    let mut transaction = client.transaction().unwrap();
    transaction
        .batch_execute(&format!(
            "insert into public.user_sessions (user_id, session_id, platform, last_heartbeat_at) values
               ('{USER}', 'at the cutoff', 'web', now() - interval '60 minutes'),
               ('{USER}', 'just before', 'web', now() - interval '60 minutes 1 microsecond');"
        ))
        .unwrap();
    let ended: i32 = transaction
        .query_one("select public.end_inactive_sessions(60)", &[])
        .unwrap()
        .get(0);
    let kept: String = transaction
        .query_one(
            "select session_id from public.user_sessions where status = 'active'",
            &[],
        )
        .unwrap()
        .get(0);
    assert_eq!((ended, kept.as_str()), (1, "at the cutoff"));
}

#[test]
fn cleanup_keeps_a_session_ended_exactly_at_the_cutoff() {
    let (_db, mut client) = db();
    let mut transaction = client.transaction().unwrap();
    transaction
        .batch_execute(&format!(
            "insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at) values
               ('{USER}', 'at the cutoff', 'web', 'ended', '2020-01-01', now() - interval '2160 hours'),
               ('{USER}', 'just before', 'web', 'ended', '2020-01-01', now() - interval '2160 hours 1 microsecond');"
        ))
        .unwrap();
    let deleted: i32 = transaction
        .query_one("select public.cleanup_old_sessions(90)", &[])
        .unwrap()
        .get(0);
    let kept: String = transaction
        .query_one("select session_id from public.user_sessions", &[])
        .unwrap()
        .get(0);
    assert_eq!((deleted, kept.as_str()), (1, "at the cutoff"));
}

#[test]
fn idle_sessions_end_only_when_asked_for() {
    let (db, mut client) = db();
    add(
        &mut client,
        "idle",
        "status, last_heartbeat_at",
        "'idle', now() - interval '2 hours'",
    );
    add(&mut client, "active", "last_heartbeat_at", "now() - interval '2 hours'");
    add(&mut client, "idle and fresh", "status", "'idle'");
    assert_eq!(
        db.sessctl(&["end-inactive", "--dry-run", "--include-idle", "--format", "json"])
            .ok()
            .json()["ended"],
        2
    );
    assert_eq!(
        db.sessctl(&["end-inactive", "--format", "json"]).ok().json()["ended"],
        1
    );
    assert_eq!(ids(&mut client, "status = 'idle'"), ["idle", "idle and fresh"]);
    assert_eq!(
        db.sessctl(&["end-inactive", "--include-idle", "--format", "json"])
            .ok()
            .json()["ended"],
        1
    );
    assert_eq!(ids(&mut client, "status = 'idle'"), ["idle and fresh"]);
}

#[test]
fn sessions_can_be_said_to_have_ended_when_they_were_last_seen() {
    let (db, mut client) = db();
    add(
        &mut client,
        "a year ago",
        "started_at, last_heartbeat_at",
        "now() - interval '366 days', now() - interval '365 days'",
    );
    add(&mut client, "never seen", "last_heartbeat_at", "'-infinity'");
    db.sessctl(&["end-inactive", "--ended-at", "last-heartbeat"]).ok();
    assert_eq!(
        ids(
            &mut client,
            "ended_at = last_heartbeat_at and total_duration_seconds = 86400"
        ),
        ["a year ago"]
    );
    assert_eq!(
        ids(&mut client, "ended_at > now() - interval '1 minute'"),
        ["never seen"]
    );
}

#[test]
fn cleanup_deletes_what_ended_long_ago_and_never_a_session_that_lives_again() {
    let (db, mut client) = db();
    let old = "now() - interval '91 days'";
    for (id, columns, values) in [
        ("gone", "status, ended_at", format!("'ended', {old}")),
        ("gone too", "status, ended_at", format!("'timeout', {old}")),
        ("kept: revived", "status, ended_at", format!("'active', {old}")),
        ("kept: revived and idle", "status, ended_at", format!("'idle', {old}")),
        ("kept: never ended", "status", "'ended'".into()),
        ("kept: infinity", "status, ended_at", "'ended', 'infinity'".into()),
        (
            "kept: minus infinity",
            "status, ended_at",
            "'ended', '-infinity'".into(),
        ),
        (
            "kept: recent",
            "status, ended_at",
            "'ended', now() - interval '89 days'".into(),
        ),
    ] {
        add(
            &mut client,
            id,
            &format!("started_at, {columns}"),
            &format!("'2020-01-01', {values}"),
        );
    }
    assert_eq!(
        db.sessctl(&["cleanup", "--dry-run", "--format", "json"]).ok().json()["deleted"],
        2
    );
    assert_eq!(db.sessctl(&["cleanup", "--format", "json"]).ok().json()["deleted"], 2);
    let left = ids(&mut client, "true");
    assert_eq!(left.len(), 6);
    assert!(left.iter().all(|id| id.starts_with("kept")), "{left:?}");
}

/// Times that a signed-in user may write, each of which stopped the script's functions for everybody.
const POISON: [&str; 7] = [
    "'0001-01-01'",
    "'1957-01-01'",
    "'9999-12-31'",
    "'infinity'",
    "'-infinity'",
    "'4714-11-24 00:00:00+00 BC'",
    "'294276-12-31'",
];

#[test]
fn no_poisoned_row_stops_a_sweep_a_cleanup_or_the_summary() {
    let (db, mut client) = db();
    let mut number = 0;
    for column in [
        "started_at",
        "last_heartbeat_at",
        "last_activity_at",
        "updated_at",
        "created_at",
        "ended_at",
    ] {
        for value in POISON {
            for status in ["active", "ended"] {
                number += 1;
                add(
                    &mut client,
                    &number.to_string(),
                    &format!("status, {column}"),
                    &format!("'{status}', {value}"),
                );
            }
        }
    }
    add(
        &mut client,
        "all at once",
        "started_at, last_heartbeat_at, last_activity_at, updated_at, created_at, ended_at",
        "'infinity', '-infinity', '-infinity', 'infinity', '-infinity', '-infinity'",
    );
    add(
        &mut client,
        "silent",
        "started_at, last_heartbeat_at",
        "'-infinity', now() - interval '2 hours'",
    );
    db.sessctl(&["summary"]).ok().says("total");
    db.sessctl(&["doctor"]).ok().says("sessions with implausible times");
    db.sessctl(&["summary", "--format", "json"]).ok();
    db.sessctl(&["summary", "--format", "csv"]).ok();
    for arguments in [
        &["end-inactive"][..],
        &["end-inactive", "--ended-at", "last-heartbeat"],
        &["cleanup"],
    ] {
        db.sessctl(&[arguments, &["--dry-run"]].concat()).ok();
        db.sessctl(arguments).ok();
    }
    client
        .batch_execute("select * from public.active_sessions_summary")
        .unwrap();
    let silent = client.query_one(
        "select total_duration_seconds from public.user_sessions where session_id = 'silent'",
        &[],
    );
    assert_eq!(silent.unwrap().get::<_, i32>(0), i32::MAX);
}

#[test]
fn a_duration_is_a_number_whatever_the_times() {
    let (_db, mut client) = db();
    for (start, end, seconds) in [
        ("'2026-01-01 00:00:00+00'", "'2026-01-01 00:01:40+00'", 100),
        ("'2026-01-01 00:00:00.4+00'", "'2026-01-01 00:00:10.9+00'", 11),
        ("'2026-01-01'", "'2026-01-01'", 0),
        ("'2026-01-02'", "'2026-01-01'", 0),
        ("'0001-01-01'", "'2026-01-01'", i32::MAX),
        ("'4714-11-24 00:00:00+00 BC'", "'294276-12-31'", i32::MAX),
        ("'-infinity'", "'2026-01-01'", i32::MAX),
        ("'2026-01-01'", "'infinity'", i32::MAX),
        ("'-infinity'", "'infinity'", i32::MAX),
        ("'infinity'", "'2026-01-01'", 0),
        ("'2026-01-01'", "'-infinity'", 0),
        ("'infinity'", "'infinity'", 0),
        ("'-infinity'", "'-infinity'", 0),
        ("null", "'2026-01-01'", 0),
        ("'2026-01-01'", "null", 0),
    ] {
        let sql = format!("select public.calculate_session_duration({start}, {end})");
        assert_eq!(client.query_one(&sql, &[]).unwrap().get::<_, i32>(0), seconds, "{sql}");
    }
    client
        .batch_execute("select public.calculate_session_duration(now() - interval '1 hour')")
        .unwrap();
}

#[test]
fn a_sweep_and_the_function_agree_on_every_duration() {
    let usual = [
        "now() - interval '1 second'",
        "now() - interval '3 days 0.5 seconds'",
        "now() + interval '1 hour'",
        "'2000-01-01 00:00:00+00'",
        "'1999-12-31 23:59:59.9+00'",
    ];
    for moment in ["now", "last-heartbeat"] {
        let (db, mut client) = db();
        for (number, start) in usual.iter().chain(&POISON).enumerate() {
            let times = format!("{start}, now() - interval '2 hours 0.7 seconds'");
            add(
                &mut client,
                &number.to_string(),
                "started_at, last_heartbeat_at",
                &times,
            );
        }
        db.sessctl(&["end-inactive", "--ended-at", moment]).ok();
        let same = "total_duration_seconds = public.calculate_session_duration(started_at, ended_at)";
        assert_eq!(ids(&mut client, same), ids(&mut client, "status = 'timeout'"));
        assert_eq!(ids(&mut client, "status = 'timeout'").len(), usual.len() + POISON.len());
    }
}

#[test]
fn arguments_out_of_range_are_refused_by_the_functions_and_by_the_program() {
    let (db, mut client) = db();
    for call in [
        "public.end_inactive_sessions(0)",
        "public.end_inactive_sessions(-1)",
        "public.end_inactive_sessions(null)",
        "public.end_inactive_sessions(5256001)",
        "public.end_inactive_sessions(2147483647)",
        "public.cleanup_old_sessions(0)",
        "public.cleanup_old_sessions(-90)",
        "public.cleanup_old_sessions(null)",
        "public.cleanup_old_sessions(36501)",
        "public.cleanup_old_sessions(2147483647)",
        "sessctl.end_inactive(0)",
        "sessctl.cleanup(0)",
    ] {
        let error = client.batch_execute(&format!("select {call}")).expect_err(call);
        assert_eq!(
            error.code(),
            Some(&SqlState::INVALID_PARAMETER_VALUE),
            "{call}: {error:?}"
        );
    }
    for call in [
        "public.end_inactive_sessions(5256000)",
        "public.cleanup_old_sessions(36500)",
        "public.end_inactive_sessions()",
    ] {
        client.batch_execute(&format!("select {call}")).unwrap();
    }
    for arguments in [
        ["end-inactive", "--minutes", "0"],
        ["end-inactive", "--minutes", "5256001"],
        ["end-inactive", "--minutes", "-5"],
        ["end-inactive", "--minutes", "soon"],
        ["cleanup", "--days", "0"],
        ["cleanup", "--days", "36501"],
        ["cleanup", "--batch-size", "0"],
    ] {
        db.sessctl(&arguments).exits(2);
    }
}

#[test]
fn the_limited_functions_stop_at_their_limit_and_a_backlog_drains_over_several_calls() {
    let (_db, mut client) = db();
    client
        .batch_execute(&format!(
            "insert into public.user_sessions (user_id, session_id, platform, last_heartbeat_at)
             select '{USER}', n::text, 'web', now() - interval '2 hours' from generate_series(1, 25) n"
        ))
        .unwrap();
    let calls: Vec<i32> = (0..4)
        .map(|_| {
            client
                .query_one("select sessctl.end_inactive(60, 10)", &[])
                .unwrap()
                .get(0)
        })
        .collect();
    assert_eq!(calls, [10, 10, 5, 0]);
    client
        .batch_execute(
            "update public.user_sessions set started_at = '2020-01-01', ended_at = now() - interval '1 year' - random() * interval '1 day'",
        )
        .unwrap();
    let calls: Vec<i32> = (0..4)
        .map(|_| client.query_one("select sessctl.cleanup(90, 10)", &[]).unwrap().get(0))
        .collect();
    assert_eq!(calls, [10, 10, 5, 0]);
}

#[test]
fn the_functions_leave_the_settings_of_their_caller_alone() {
    let (_db, mut client) = db();
    add(&mut client, "silent", "last_heartbeat_at", "now() - interval '2 hours'");
    add(
        &mut client,
        "over",
        "status, started_at, ended_at",
        "'ended', '2020-01-01', now() - interval '1 year'",
    );
    let mut transaction = client.transaction().unwrap();
    transaction
        .batch_execute("create temporary table before as select name, setting from pg_settings")
        .unwrap();
    let done = transaction
        .query_one("select sessctl.end_inactive(60), sessctl.cleanup(90)", &[])
        .unwrap();
    assert_eq!((done.get::<_, i32>(0), done.get::<_, i32>(1)), (1, 1));
    let changed = "select coalesce(string_agg(b.name, ', '), '') from before b join pg_settings s using (name)
        where s.setting <> b.setting";
    assert_eq!(transaction.query_one(changed, &[]).unwrap().get::<_, String>(0), "");
}

/// Random sessions, the same for a seed; some share a user or an end, some have no heartbeat.
fn random_sessions(client: &mut Client, seed: &str, rows: u32) {
    client
        .batch_execute(&format!(
            "select setseed({seed});
             insert into auth.users (id) select md5(n::text)::uuid from generate_series(1, 50) n;
             insert into public.user_sessions (user_id, session_id, platform, status, started_at, last_heartbeat_at, last_activity_at, ended_at)
             select
               md5((1 + floor(50 * random() ^ 3))::text)::uuid,
               n::text,
               'web',
               (array['active', 'idle', 'ended', 'timeout'])[1 + floor(4 * random())::int],
               now() - interval '180 days' - random() * interval '200 days',
               case when random() < 0.9 then now() - interval '60 minutes' + (random() - 0.5) * interval '2 hours' end,
               now() - random() * interval '3 hours',
               case when random() < 0.3 then now() - interval '91 days' when random() < 0.8 then now() - random() * interval '180 days' end
             from generate_series(1, {rows}) n;
             analyze public.user_sessions;"
        ))
        .unwrap();
}

#[test]
fn random_tables_are_swept_and_cleaned_as_plain_sql_says() {
    for (seed, batch) in [("0.1", "7"), ("0.2", "100"), ("0.3", "5000"), ("0.4", "1")] {
        let rows = if batch == "1" { 60 } else { 3000 };
        let (db, mut client) = db();
        random_sessions(&mut client, seed, rows);
        // The expectation is written down before, by the rules as docs/commands.md has them.
        client
            .batch_execute(
                "create table public.expected as select session_id,
                   status = 'active' and coalesce(last_heartbeat_at, last_activity_at) < now() - interval '60 minutes' as ends,
                   status in ('ended', 'timeout') and ended_at < now() - interval '90 days' as goes
                 from public.user_sessions",
            )
            .unwrap();
        let count = |client: &mut Client, what: &str| -> i64 {
            client
                .query_one(&format!("select count(*) from public.expected where {what}"), &[])
                .unwrap()
                .get(0)
        };
        let (ends, goes) = (count(&mut client, "ends"), count(&mut client, "goes"));
        assert!(ends > 0 && goes > 0);
        // Sessions cross the cutoff while the test runs: those are told apart by what the program itself did.
        let ended = db
            .sessctl(&["end-inactive", "--batch-size", batch, "--format", "json"])
            .ok()
            .json();
        let late: i64 = client
            .query_one("select count(*) from public.user_sessions s join public.expected e using (session_id) where s.end_reason = 'timeout' and not e.ends", &[])
            .unwrap()
            .get(0);
        assert_eq!(ended["ended"], ends + late, "seed {seed}, batch {batch}");
        assert!(late < 5);
        let missed = "select count(*) from public.user_sessions s join public.expected e using (session_id) where e.ends and s.status = 'active'";
        assert_eq!(client.query_one(missed, &[]).unwrap().get::<_, i64>(0), 0);

        let deleted = db
            .sessctl(&["cleanup", "--batch-size", batch, "--format", "json"])
            .ok()
            .json();
        let left: i64 = client
            .query_one(
                "select count(*) from public.user_sessions s join public.expected e using (session_id) where e.goes",
                &[],
            )
            .unwrap()
            .get(0);
        let kept: i64 = client
            .query_one("select count(*) from public.user_sessions", &[])
            .unwrap()
            .get(0);
        assert_eq!(left, 0);
        assert_eq!(kept, i64::from(rows) - deleted["deleted"].as_i64().unwrap());
        assert!(
            deleted["deleted"].as_i64().unwrap() - goes < 5,
            "seed {seed}, batch {batch}"
        );
        assert_eq!(db.sessctl(&["cleanup", "--format", "json"]).ok().json()["deleted"], 0);
        let left = db
            .sessctl(&["end-inactive", "--dry-run", "--format", "json"])
            .ok()
            .json();
        // Time goes on.
        assert!(left["ended"].as_i64().unwrap() < 5, "{left}");
    }
}

#[test]
fn many_sessions_that_ended_at_one_moment_neither_loop_nor_go_in_one_batch() {
    let (db, mut client) = db();
    client
        .batch_execute(&format!(
            "insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
             select '{USER}', n::text, 'web', 'ended', '2020-01-01', now() - interval '100 days' from generate_series(1, 5000) n;
             insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
             select '{USER}', 'earlier ' || n, 'web', 'ended', '2020-01-01', now() - interval '101 days' + n * interval '1 second' from generate_series(1, 500) n"
        ))
        .unwrap();
    let json = db
        .sessctl(&["cleanup", "--batch-size", "400", "--format", "json"])
        .ok()
        .json();
    assert_eq!(json["deleted"], 5500);
    assert!(json["batches"].as_u64().unwrap() >= 14, "{json}");
}

#[test]
fn a_sweep_goes_in_batches_of_the_size_asked_for() {
    let (db, mut client) = db();
    client
        .batch_execute(&format!(
            "insert into public.user_sessions (user_id, session_id, platform, last_heartbeat_at)
             select '{USER}', n::text, 'web', now() - interval '2 hours' from generate_series(1, 1000) n"
        ))
        .unwrap();
    let json = db
        .sessctl(&["end-inactive", "--batch-size", "90", "--format", "json"])
        .ok()
        .json();
    assert_eq!(json["ended"], 1000);
    assert_eq!(json["batches"], 12);
}

#[test]
fn a_dry_run_counts_exactly_and_changes_nothing() {
    for grants in BOTH_GENERATIONS {
        let db = Db::migrated(grants);
        let mut client = db.client();
        random_sessions(&mut client, "0.7", 500);
        let picture = "select md5(string_agg(s::text, '' order by session_id)) from public.user_sessions s";
        let before: String = client.query_one(picture, &[]).unwrap().get(0);
        let json = db.sessctl(&["cleanup", "--dry-run", "--format", "json"]).ok().json();
        assert_eq!(json["dry_run"], true);
        let would = db
            .sessctl(&["end-inactive", "--dry-run", "--format", "json"])
            .ok()
            .json();
        assert_eq!(client.query_one(picture, &[]).unwrap().get::<_, String>(0), before);
        assert_eq!(
            db.sessctl(&["cleanup", "--format", "json"]).ok().json()["deleted"],
            json["deleted"]
        );
        let ended = db.sessctl(&["end-inactive", "--format", "json"]).ok().json();
        assert_eq!(ended["ended"], would["ended"]);
    }
}

#[test]
fn maintenance_of_a_database_that_was_never_migrated_says_to_migrate() {
    let db = Db::fresh(Grants::Closed);
    for command in ["end-inactive", "cleanup", "summary"] {
        db.sessctl(&[command]).exits(3).says("run sessctl migrate");
    }
}

#[test]
fn quiet_says_nothing_at_all_on_success() {
    let (db, mut client) = db();
    add(&mut client, "silent", "last_heartbeat_at", "now() - interval '2 hours'");
    for command in ["migrate", "end-inactive", "cleanup", "summary"] {
        let run = db.sessctl(&[command, "--quiet"]).ok();
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""), "{command}");
    }
}

#[test]
fn plpgsql_check_finds_nothing_in_any_function() {
    let (db, _client) = db();
    let mut admin = db.admin();
    let available = "select count(*) from pg_available_extensions where name = 'plpgsql_check'";
    if admin.query_one(available, &[]).unwrap().get::<_, i64>(0) == 0 {
        crate::common::not_run("plpgsql_check is not installed for this version of the server");
        return;
    }
    admin.batch_execute("create extension plpgsql_check").unwrap();
    let found = admin
        .query(
            "select p.oid::regprocedure::text, c.*::text
             from pg_proc p
             join pg_language l on l.oid = p.prolang and l.lanname = 'plpgsql'
             cross join lateral plpgsql_check_function(
               p.oid,
               case when p.prorettype = 'trigger'::regtype then 'public.user_sessions'::regclass else 0 end,
               other_warnings => true, performance_warnings => true, extra_warnings => true, security_warnings => true,
               compatibility_warnings => true
             ) as c
             -- A function that locks rows, or whose statement is a text, must be volatile, whatever the check says of it.
             where not (p.prosrc ~ 'skip locked|job_run_details' and c::text ~ 'VOLATILE|other functions that uses|volatility')
               and p.pronamespace in ('public'::regnamespace, 'sessctl'::regnamespace)
               and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')",
            &[],
        )
        .unwrap();
    let lines: Vec<String> = found
        .iter()
        .map(|row| format!("{}: {}", row.get::<_, String>(0), row.get::<_, String>(1)))
        .collect();
    assert!(lines.is_empty(), "{lines:#?}");
}

#[test]
fn heartbeats_beside_sweeps_keep_every_session_that_sends_them_and_each_end_is_counted_once() {
    let count = heartbeats::beside_sweeps(20_261_124, |steps| steps == 400);
    assert!(count.seen_ended > 100, "too few ended: {count:?}");
}

#[test]
fn no_session_is_left_out_between_two_lists_whatever_the_order_of_the_rows() {
    let (db, mut client) = db();
    let sql = format!(
        "insert into public.user_sessions (user_id, session_id, platform, last_heartbeat_at)
         select '{USER}', 'n' || n, 'web', now() - case when n % 2 = 0 then interval '5 hours' else '0' end
         from generate_series(1, 120003) as n"
    );
    client.batch_execute(&sql).unwrap();
    // Heartbeats move rows about within their pages, and vacuum makes room there.
    for third in 0..3 {
        let beat = "update public.user_sessions set last_heartbeat_at = last_heartbeat_at where substr(session_id, 2)::int % 7 = $1";
        client.execute(beat, &[&third]).unwrap();
        client.batch_execute("vacuum analyze public.user_sessions").unwrap();
    }
    // Workers would hand the pages over as they come by them.
    let settings = "set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
        set min_parallel_index_scan_size = 0";
    client.batch_execute(settings).unwrap();
    let mut sweep = client.transaction().unwrap();
    let ended: i32 = sweep.query_one("select sessctl.end_inactive(60)", &[]).unwrap().get(0);
    assert_eq!(ended, 60_001);
    sweep.rollback().unwrap();

    let run = db.sessctl(&["end-inactive", "--format", "json"]).ok();
    assert_eq!(run.json()["ended"], 60_001);
    let left =
        "select count(*) from public.user_sessions where status = 'active' and substr(session_id, 2)::int % 2 = 0";
    assert_eq!(client.query_one(left, &[]).unwrap().get::<_, i64>(0), 0);
    let kept = "select count(*) from public.user_sessions where status = 'active'";
    assert_eq!(client.query_one(kept, &[]).unwrap().get::<_, i64>(0), 60_002);
}

#[test]
fn sessions_that_will_never_go_do_not_send_a_cleanup_through_the_whole_table() {
    let (_db, mut client) = db();
    let sql = format!(
        "insert into public.user_sessions (user_id, session_id, platform, started_at, status, ended_at)
         select '{USER}', 'n' || n, 'web', '2020-01-01', case when n <= 300 then 'idle' else 'ended' end,
           case when n <= 300 then '-infinity' else now() - interval '100 days' + n * interval '1 minute' end
         from generate_series(1, 1000) as n"
    );
    client.batch_execute(&sql).unwrap();
    let batch = "select b.affected, b.\"position\" from sessctl.cleanup_batch(now() - interval '90 days', 100) as b";
    let row = client.query_one(batch, &[]).unwrap();
    assert_eq!(row.get::<_, i32>(0), 100);
    assert!(
        !row.get::<_, String>(1).starts_with('('),
        "by blocks: {}",
        row.get::<_, String>(1)
    );
}
