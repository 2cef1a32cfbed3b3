//! `sessctl stats`: each number against one that is made in another way.

use serde_json::{Value, json};
use sessctl::sandbox::Grants;

use crate::common::pty::on_terminal;
use crate::common::{Db, Run, sessctl_on};

fn json_of(db: &Db, arguments: &[&str]) -> Value {
    db.sessctl(&[&["stats", "--format", "json"], arguments].concat())
        .ok()
        .json()
}

/// A migrated database with two users and this list of sessions: status, end_reason, platform, number of the user, and SQL for
/// started_at, last_heartbeat_at and ended_at, in which d is the start of the day before yesterday in UTC.
fn with(sessions: &str) -> Db {
    let db = Db::migrated(Grants::Closed);
    db.admin()
        .batch_execute(&format!(
            "insert into auth.users (id) select md5(n::text)::uuid from generate_series(1, 2) n;
             insert into public.user_sessions
               (session_id, user_id, status, end_reason, platform, started_at, last_heartbeat_at, ended_at, last_activity_at, updated_at, created_at)
             select 's' || row_number() over (), md5(s.u::text)::uuid, s.status, s.reason, s.platform, s.started, s.seen, s.ended,
               coalesce(s.seen, now()), coalesce(s.ended, s.seen), now()
             from (select (date_trunc('day', now() at time zone 'UTC') - interval '2 days') at time zone 'UTC' as d) as day
             cross join lateral (values {sessions}) as s (status, reason, platform, u, started, seen, ended)"
        ))
        .unwrap();
    db
}

const TWO_DAYS: &str = "
  ('ended', 'logout', 'web', 1, d, d + interval '11 s', d + interval '10 s'),
  ('ended', 'logout', 'web', 1, d + interval '1 h', d + interval '1 h', d + interval '1 h 30 s'),
  ('timeout', 'timeout', 'ios-widget', 2, d + interval '2 h', d + interval '2 h 50 s', d + interval '9 h'),
  ('active', null, 'web', 2, d + interval '3 h', d + interval '3 h 70 s', null::timestamptz),
  ('idle', null, 'web', 2, d + interval '23:59:59', d + interval '24:00:09', null),
  ('timeout', 'timeout', 'web', 1, d + interval '24 h', d + interval '24 h 5 s', d + interval '26 h')";

#[test]
fn each_day_has_its_sessions_users_durations_and_timeouts() {
    let db = with(TWO_DAYS);
    let stats = json_of(&db, &["--days", "3"]);
    let days = stats["days"].as_array().unwrap();
    let keys = ["median_seconds", "p95_seconds", "started", "timeout_share", "users"];
    let numbers: Vec<Vec<&Value>> = days.iter().map(|day| keys.map(|key| &day[key]).to_vec()).collect();
    assert_eq!(
        json!(numbers),
        json!([[30, 66, 5, 0.3333, 2], [5, 5, 1, 1.0, 1], [null, null, 0, null, 0]])
    );
    assert_eq!(stats["whole_since"], Value::Null);
    assert_eq!(stats.as_object().unwrap().len(), 2);
    assert_eq!(days[0].as_object().unwrap().len(), 6);
    let today = db
        .client()
        .query_one("select (now() at time zone 'UTC')::date::text", &[])
        .unwrap();
    assert_eq!(days[2]["day"], today.get::<_, String>(0));
}

#[test]
fn with_platforms_each_of_them_has_each_day() {
    let db = with(TWO_DAYS);
    let stats = json_of(&db, &["--days", "3", "--by", "platform"]);
    let rows: Vec<Vec<&Value>> = stats["days"]
        .as_array()
        .unwrap()
        .iter()
        .map(|day| {
            ["platform", "started", "users", "median_seconds"]
                .map(|key| &day[key])
                .to_vec()
        })
        .collect();
    assert_eq!(
        json!(rows),
        json!([
            ["ios-widget", 1, 1, 50],
            ["web", 4, 2, 20],
            ["ios-widget", 0, 0, null],
            ["web", 1, 1, 5],
            ["ios-widget", 0, 0, null],
            ["web", 0, 0, null]
        ])
    );
    let csv = db
        .sessctl(&["stats", "--days", "3", "--by", "platform", "--format", "csv"])
        .ok()
        .stdout;
    assert!(
        csv.starts_with("day,platform,started,users,median_seconds,p95_seconds,timeout_share\n"),
        "{csv}"
    );
    assert!(csv.contains(",web,4,2,20,"), "{csv}");
    assert!(csv.contains(",ios-widget,0,0,,,\n"), "{csv}");
}

#[test]
fn without_sessions_the_days_are_there_with_zero() {
    let db = Db::migrated(Grants::Closed);
    for arguments in [&["--days", "2"][..], &["--days", "2", "--by", "platform"]] {
        let stats = json_of(&db, arguments);
        assert_eq!(stats["days"].as_array().unwrap().len(), 2);
        assert_eq!(stats["days"][0]["started"], 0);
        assert_eq!(stats["days"][0]["median_seconds"], Value::Null);
    }
    assert_eq!(json_of(&db, &[])["days"].as_array().unwrap().len(), 30);
}

#[test]
fn a_sweep_and_its_settling_change_no_duration() {
    let db = with(
        "('active', null, 'web', 1, d, d + interval '40 s', null::timestamptz),
         ('active', null, 'web', 1, d, d - interval '1 h', null),
         ('idle', null, 'web', 1, d, d + interval '50 s', null),
         ('ended', 'timeout', 'web', 2, d, d + interval '60 s', d + interval '1 h'),
         ('ended', 'logout', 'web', 2, d, d + interval '70 s', null),
         ('ended', 'logout', 'web', 2, d, d + interval '80 s', 'infinity'),
         ('ended', 'logout', 'web', 2, d, d + interval '90 s', d - interval '1 h')",
    );
    // The trigger that writes updated_at is left out: settling goes by it.
    db.admin()
        .batch_execute(
            "alter table public.user_sessions disable trigger user;
             update public.user_sessions set updated_at = last_heartbeat_at",
        )
        .unwrap();
    let durations = || {
        let stats = json_of(&db, &["--days", "3"]);
        ["median_seconds", "p95_seconds", "started"].map(|key| stats["days"][0][key].clone())
    };
    let before = durations();
    assert_eq!(json!(before), json!([60, 87, 7]));
    let swept = db
        .sessctl(&["end-inactive", "--include-idle", "--format", "json"])
        .ok()
        .json();
    assert_eq!((&swept["ended"], &swept["settled"]), (&json!(3), &json!(3)));
    assert_eq!(durations(), before);
    assert_eq!(json_of(&db, &["--days", "3"])["days"][0]["timeout_share"], 0.5714);
}

#[test]
fn poisoned_times_never_break_it_and_are_in_no_day() {
    let db = with(
        "('active', null, 'web', 1, 'infinity'::timestamptz, 'infinity'::timestamptz, null::timestamptz),
         ('active', null, 'web', 1, '-infinity', '-infinity', null),
         ('ended', null, 'web', 1, '0001-01-01', '0001-01-01', '0001-01-01'),
         ('ended', null, 'web', 1, '4714-11-24 00:00:00+00 BC', null, '294276-01-01'),
         ('active', null, 'web', 1, now() + interval '1 hour', now(), null),
         ('active', null, 'web', 1, d - interval '1 us', now(), null),
         ('active', null, 'web', 1, d, '-infinity', null),
         ('timeout', 'timeout', 'web', 1, d, null, 'infinity'),
         ('ended', 'timeout', 'web', 1, d, '0001-01-01', '-infinity'),
         ('ended', null, 'web', 1, d, 'infinity', '-infinity'),
         ('ended', null, 'web', 1, d, null, '294276-01-01')",
    );
    for sql in ["select", "drop index public.idx_user_sessions_started_at"] {
        db.admin().batch_execute(sql).unwrap();
        let stats = json_of(&db, &["--days", "3"]);
        let started: Vec<&Value> = stats["days"]
            .as_array()
            .unwrap()
            .iter()
            .map(|day| &day["started"])
            .collect();
        assert_eq!(json!(started), json!([5, 0, 0]), "{sql}");
        for arguments in [
            &["--days", "1096"][..],
            &["--timezone", "Pacific/Kiritimati", "--by", "platform"],
        ] {
            db.sessctl(&[&["stats"], arguments].concat()).ok();
        }
    }
}

/// Zones with a midnight that comes twice or never, half hours, and both ends of the day.
const ZONES: [&str; 8] = [
    "UTC",
    "America/Havana",
    "Asia/Beirut",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "pacific/pago_pago",
];

#[test]
fn a_day_is_one_of_the_time_zone_by_the_index_and_without_it() {
    let db = Db::migrated(Grants::Closed);
    let mut client = db.client();
    client
        .batch_execute(
            "insert into auth.users (id) select md5(n::text)::uuid from generate_series(1, 9) n;
             insert into public.user_sessions (user_id, session_id, platform, started_at, last_heartbeat_at)
             select md5((1 + n % 9)::text)::uuid, n::text, 'web', s.started, s.started + make_interval(secs => n * 37 % 5000)
             from generate_series(1, 24000) n cross join lateral (select now() - n * interval '20 minutes 1 second' as started) s;
             analyze public.user_sessions",
        )
        .unwrap();
    let mut found = Vec::new();
    for zone in ZONES {
        let expected = client
            .query(
                "select d.day::date::text, count(s), count(distinct s.user_id),
                   round(percentile_cont(0.5) within group (order by extract(epoch from s.last_heartbeat_at - s.started_at))::numeric)::bigint,
                   round(percentile_cont(0.95) within group (order by extract(epoch from s.last_heartbeat_at - s.started_at))::numeric)::bigint
                 from generate_series((now() at time zone $1)::date - 299, (now() at time zone $1)::date, interval '1 day') as d (day)
                 left join public.user_sessions s on (s.started_at at time zone $1)::date = d.day::date
                 group by 1 order by 1",
                &[&zone],
            )
            .unwrap();
        let stats = json_of(&db, &["--days", "300", "--timezone", zone]);
        let days = stats["days"].as_array().unwrap();
        assert_eq!(days.len(), 300);
        for (day, row) in days.iter().zip(expected) {
            let expected = json!({
                "day": row.get::<_, String>(0),
                "started": row.get::<_, i64>(1),
                "users": row.get::<_, i64>(2),
                "median_seconds": row.get::<_, Option<i64>>(3),
                "p95_seconds": row.get::<_, Option<i64>>(4),
                "timeout_share": null,
            });
            assert_eq!(*day, expected, "{zone}");
        }
        found.push(stats);
    }
    client
        .batch_execute("drop index public.idx_user_sessions_started_at")
        .unwrap();
    for (zone, before) in ZONES.iter().zip(found) {
        let run = db
            .sessctl(&["stats", "--days", "300", "--timezone", zone, "--format", "json"])
            .ok();
        assert_eq!(run.json(), before, "{zone}");
        assert!(run.stderr.contains("reads the whole table"), "{}", run.stderr);
    }
}

#[test]
fn the_cost_follows_the_window() {
    const WINDOW: &str = include_str!("../src/commands/stats/window.sql");
    const VIEWS: &str = include_str!("../src/commands/stats/views.sql");
    let db = with(TWO_DAYS);
    let mut client = db.client();
    client
        .batch_execute(
            "insert into public.user_sessions (user_id, session_id, platform, started_at)
             select md5('1')::uuid, n::text, 'web', now() - interval '1 year' from generate_series(1, 20000) n;
             analyze public.user_sessions",
        )
        .unwrap();
    for (sql, is_by_index) in [
        (include_str!("../src/commands/stats/by_index.sql"), true),
        (include_str!("../src/commands/stats/whole_table.sql"), false),
    ] {
        let bound = [
            (":zone", "'UTC'"),
            (":days", "3"),
            (":view", "'platform'"),
            (":durations", "true"),
            (":most", "7"),
            (":longest", "200"),
        ]
        .iter()
        .fold([WINDOW, sql, VIEWS].concat(), |sql, (name, value)| {
            sql.replace(name, value)
        });
        let disable = if is_by_index {
            ""
        } else {
            "set local enable_indexscan = off; set local enable_bitmapscan = off;"
        };
        client.batch_execute(&format!("begin; {disable}")).unwrap();
        let plan: Vec<String> = client
            .query(&format!("explain {bound}"), &[])
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        client.batch_execute("rollback").unwrap();
        let plan = plan.join("\n");
        assert_eq!(plan.contains("idx_user_sessions_started_at"), is_by_index, "{plan}");
        assert_eq!(plan.contains("Seq Scan on user_sessions"), !is_by_index, "{plan}");
    }
}

#[test]
fn the_days_are_whole_after_what_the_last_cleanups_kept() {
    let db = with(TWO_DAYS);
    let since = |zone: &str| json_of(&db, &["--timezone", zone])["whole_since"].clone();
    let expected = |days: i32, zone: &str| {
        let sql = "select ((now() - make_interval(days => $1) + interval '5 minutes') at time zone $2)::date + 1";
        let row = db
            .client()
            .query_one(&format!("select ({sql})::text"), &[&days, &zone])
            .unwrap();
        Value::String(row.get(0))
    };
    assert_eq!(since("UTC"), Value::Null);
    db.sessctl(&["cleanup", "--dry-run"]).ok();
    assert_eq!(since("UTC"), Value::Null);
    db.sessctl(&["cleanup", "--days", "20", "--yes"]).ok();
    for zone in ["UTC", "Pacific/Kiritimati"] {
        assert_eq!(since(zone), expected(20, zone));
    }
    db.sessctl(&["stats"])
        .ok()
        .says("cleanup has deleted sessions of days before");
    // A longer retention brings nothing back.
    db.sessctl(&["cleanup", "--days", "60"]).ok();
    assert_eq!(since("UTC"), expected(20, "UTC"));
    let days = db.sessctl(&["stats", "--days", "5"]).ok().stdout;
    assert!(!days.contains("cleanup"), "{days}");
}

#[test]
fn an_unknown_time_zone_is_refused_with_a_hint() {
    let db = Db::migrated(Grants::Closed);
    for zone in [
        "Europe/Atlantis",
        "UTC+2",
        "",
        "'; drop table public.user_sessions; --",
        "\x1b[2J",
    ] {
        let run = db
            .sessctl(&["stats", "--timezone", zone])
            .exits(2)
            .says("unknown time zone")
            .says("Europe/Berlin");
        assert!(run.stdout.is_empty() && !run.stderr.contains('\x1b'), "{run:?}");
    }
    for days in ["0", "-1", "1097", "x"] {
        db.sessctl(&["stats", "--days", days]).exits(2);
    }
    db.sessctl(&["stats", "--format", "github"]).exits(2);
}

#[test]
fn a_role_that_sees_some_sessions_only_is_told_so() {
    let db = with(TWO_DAYS);
    let role = format!("viewer_{}", db.name);
    let observe = include_str!("../docs/observe.md");
    let (rights, _) = observe.split_once("```sql\n").unwrap().1.split_once("```").unwrap();
    db.admin()
        .batch_execute(&format!(
            "create role {role} login password 'view'; {}",
            rights.replace("ROLE", &role)
        ))
        .unwrap();
    let [run, summary] = [&["stats", "--days", "3"][..], &["summary"]]
        .map(|arguments| Run::of(&mut sessctl_on(db.url_as(&role, "view"), arguments)));
    db.admin()
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .unwrap();
    run.ok().says("row level security applies to this role");
    assert!(!summary.ok().stderr.contains("not counted"));
}

#[test]
fn a_terminal_shows_a_line_of_bars_for_each_column() {
    let db = with(TWO_DAYS);
    let mut command = db.command(&["stats", "--days", "3"]);
    let (shown, code) = on_terminal(100, command.env("TERM", "xterm"));
    assert_eq!(code, 0, "{shown}");
    for bars in ["█▂▁", "█▁ ", "▃█ "] {
        assert!(shown.contains(bars), "{bars:?}: {shown}");
    }
    let plain = db.sessctl(&["stats", "--days", "3"]).ok().stdout;
    assert!(!plain.contains('█'), "{plain}");
}
