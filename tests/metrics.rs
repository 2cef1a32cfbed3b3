//! `sessctl metrics`: its numbers, its text, its file, and what stands on its names in docs/observe.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use postgres::Client;
use regex::Regex;
use serde_json::Value;
use sessctl::sandbox::Grants;

use crate::common::promtool::promtool;
use crate::common::running::wait_until;
use crate::common::{Db, Run, clean, number, sessctl_on};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/observe");

const USER: &str = "00000000-0000-4000-8000-000000000001";

/// The samples of a text: their names with labels, and their values.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    let samples: BTreeMap<String, f64> = lines.clone().map(sample).collect();
    assert_eq!(samples.len(), lines.count(), "a sample twice: {text}");
    samples
}

fn measure(db: &Db) -> BTreeMap<String, f64> {
    samples(&db.sessctl(&["metrics"]).ok().stdout)
}

#[track_caller]
fn accepts(what: &str, text: &str) {
    if let Some(run) = promtool(what, &["check", "metrics"], Path::new("/"), text) {
        assert_eq!((run.code, run.stdout + &run.stderr), (0, String::new()), "{text}");
    }
}

fn user(client: &mut Client) {
    let sql = format!("insert into auth.users (id) values ('{USER}')");
    client.batch_execute(&sql).unwrap();
}

/// Two platforms with active, idle, due and ended sessions.
fn fill(db: &Db) {
    let mut client = db.client();
    user(&mut client);
    client
        .batch_execute(&format!(
            "insert into public.user_sessions (user_id, session_id, platform, status, started_at, last_heartbeat_at, last_activity_at, ended_at)
             select '{USER}', s.id, s.platform, s.status, now() - s.seen - interval '1 hour', now() - s.seen, now() - s.seen,
               case when s.status in ('ended', 'timeout') then now() - s.seen end
             from (values
               ('a', 'web', 'active', interval '20 minutes'), ('b', 'web', 'active', '50 minutes'), ('c', 'web', 'active', '90 minutes'),
               ('d', 'web', 'idle', '2 hours'), ('e', 'ios-widget', 'idle', '1 minute'), ('f', 'ios-widget', 'ended', '100 days'),
               ('g', 'ios-widget', 'timeout', '40 days')
             ) as s (id, platform, status, seen)"
        ))
        .unwrap();
}

#[test]
fn metrics_are_the_numbers_of_the_sessions_and_of_every_run() {
    let db = Db::migrated(Grants::Closed);
    fill(&db);
    let first = measure(&db);
    let expected = [
        ("sessctl_active_sessions{platform=\"web\"}", 3.0),
        ("sessctl_active_sessions{platform=\"ios-widget\"}", 0.0),
        ("sessctl_idle_sessions{platform=\"web\"}", 1.0),
        ("sessctl_due_sessions{platform=\"web\"}", 1.0),
        ("sessctl_due_sessions{platform=\"ios-widget\"}", 0.0),
        ("sessctl_last_success_timestamp_seconds{job=\"cleanup\"}", 0.0),
        ("sessctl_runs_total{job=\"cleanup\"}", 0.0),
        ("sessctl_schema_up_to_date", 1.0),
    ];
    for (name, value) in expected {
        assert_eq!(first.get(name), Some(&value), "{name} of {first:#?}");
    }
    let overdue = |samples: &BTreeMap<String, f64>, job: &str| {
        samples[&format!("sessctl_oldest_overdue_seconds{{job=\"{job}\"}}")] as i64
    };
    assert!((1_800..2_400).contains(&overdue(&first, "end-inactive")), "{first:#?}");
    assert!((864_000..864_600).contains(&overdue(&first, "cleanup")), "{first:#?}");
    // Who does not anonymize has no such job.
    assert!(!first.keys().any(|name| name.contains("anonymize")), "{first:#?}");
    assert!(first["sessctl_table_size_bytes"] > 0.0);
    assert!(first["sessctl_index_size_bytes{index=\"user_sessions_pkey\"}"] > 0.0);
    db.sessctl(&["end-inactive", "--minutes", "30"]).ok();
    let addresses = "update public.user_sessions set ip_address = '203.0.113.7' where status = 'ended'";
    db.client().batch_execute(addresses).unwrap();
    db.sessctl(&["anonymize", "--days", "50"]).ok();
    db.client().batch_execute("call sessctl.run_cleanup(90)").unwrap();
    let mut admin = db.admin();
    // What prunes the record of runs leaves the counters.
    admin.batch_execute("delete from sessctl.run").unwrap();
    let second = measure(&db);
    let by_job =
        |name: &str| ["end-inactive", "anonymize", "cleanup"].map(|job| second[&format!("{name}{{job=\"{job}\"}}")]);
    assert_eq!(by_job("sessctl_runs_total"), [1.0, 1.0, 1.0]);
    assert_eq!(by_job("sessctl_sessions_done_total"), [2.0, 1.0, 1.0]);
    assert_eq!(by_job("sessctl_failed_runs_total"), [0.0, 0.0, 0.0]);
    assert_eq!(by_job("sessctl_oldest_overdue_seconds"), [0.0, 0.0, 0.0]);
    let now = number(&mut admin, "select extract(epoch from now())::bigint");
    for success in by_job("sessctl_last_success_timestamp_seconds") {
        assert!((now - 600..=now).contains(&(success as i64)), "{success} {now}");
    }
    // A session that can't be ended: the run fails, and its last success stays.
    admin
        .batch_execute(
            "alter table public.user_sessions add constraint stays check (session_id <> 'a' or status = 'active') not valid",
        )
        .unwrap();
    db.sessctl(&["end-inactive", "--minutes", "1"]).exits(3);
    let third = measure(&db);
    let job = |name: &str| third[&format!("{name}{{job=\"end-inactive\"}}")];
    assert_eq!(
        (job("sessctl_failed_runs_total"), job("sessctl_sessions_failed_total")),
        (1.0, 1.0)
    );
    assert!(job("sessctl_last_failure_timestamp_seconds") >= job("sessctl_last_success_timestamp_seconds"));
    assert_eq!(third["sessctl_schema_up_to_date"], 1.0);
    admin
        .batch_execute("alter table public.user_sessions disable row level security")
        .unwrap();
    assert_eq!(measure(&db)["sessctl_schema_up_to_date"], 0.0);
}

#[test]
fn the_due_sessions_are_those_of_summary_and_of_the_sweep() {
    let db = Db::migrated(Grants::Closed);
    fill(&db);
    for (minutes, due) in [(None, 1), (Some(30), 2)] {
        if let Some(minutes) = minutes {
            let sql = format!("update sessctl.job set threshold = {minutes} where name = 'end-inactive'");
            db.client().batch_execute(&sql).unwrap();
        }
        let summary = db.sessctl(&["summary", "--format", "json"]).ok().json();
        let found: f64 = measure(&db)
            .iter()
            .filter(|(name, _)| name.starts_with("sessctl_due_sessions"))
            .map(|(_, value)| value)
            .sum();
        assert_eq!(
            (summary["total_due"].as_f64(), found),
            (Some(f64::from(due)), f64::from(due))
        );
    }
    let mut with_setting = db.command(&["metrics"]);
    db.client()
        .batch_execute("update sessctl.job set threshold = null")
        .unwrap();
    with_setting.env("SESSCTL_END_INACTIVE_MINUTES", "10");
    assert_eq!(
        samples(&Run::of(&mut with_setting).ok().stdout)["sessctl_due_sessions{platform=\"web\"}"],
        3.0
    );
}

#[test]
fn promtool_accepts_whatever_platforms_clients_write() {
    let db = Db::migrated(Grants::Closed);
    accepts("metrics of an empty table", &db.sessctl(&["metrics"]).ok().stdout);
    fill(&db);
    let mut admin = db.admin();
    admin
        .batch_execute("alter table public.user_sessions drop constraint user_sessions_platform_check")
        .unwrap();
    let texts = [
        "a\"b\\c",
        "a\nb",
        "a\\x0ab",
        "\u{1b}[2J",
        "",
        " ",
        "日本🙂",
        "\u{202e}x",
        "{a=\"b\"} 1",
        "others",
        "##[error]",
        "::error::x",
        "# EOF",
    ];
    let mut client = db.client();
    for text in texts.iter().map(|text| (*text).to_owned()).chain(["x".repeat(5_000)]) {
        let sql =
            "insert into public.user_sessions (user_id, session_id, platform) values ($1::text::uuid, md5($2), $2)";
        client.execute(sql, &[&USER, &text]).unwrap();
    }
    let text = db.sessctl(&["metrics"]).ok().stdout;
    accepts("metrics of any platforms", &text);
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    assert!(
        !text.chars().any(|c| c.is_control() && c != '\n') && !text.contains(USER),
        "{text}"
    );
    let names = samples(&text);
    for label in ["a\\\"b\\\\c", "", "日本🙂", "{a=\\\"b\\\"} 1", "\\\\x23#[error]"] {
        assert_eq!(
            names.get(&format!("sessctl_active_sessions{{platform=\"{label}\"}}")),
            Some(&1.0),
            "{label}"
        );
    }
    // A line break and what is written in its place are the same label, and one sample.
    assert_eq!(names["sessctl_active_sessions{platform=\"a\\\\x0ab\"}"], 2.0);
    // However many texts there are: a hundred, and the others together.
    client
        .batch_execute(&format!(
            "insert into public.user_sessions (user_id, session_id, platform)
             select '{USER}', n::text, 'p' || n from generate_series(1, 500) as n"
        ))
        .unwrap();
    let text = db.sessctl(&["metrics"]).ok().stdout;
    accepts("metrics of many platforms", &text);
    let active: BTreeMap<_, _> = samples(&text)
        .into_iter()
        .filter(|(name, _)| name.starts_with("sessctl_active_sessions"))
        .collect();
    assert!((98..=101).contains(&active.len()), "{active:#?}");
    let all = number(
        &mut admin,
        "select count(*) from public.user_sessions where status = 'active'",
    );
    assert_eq!(active.values().sum::<f64>() as i64, all);
}

#[test]
fn impossible_times_break_no_metric() {
    let db = Db::migrated(Grants::Closed);
    let mut client = db.client();
    user(&mut client);
    let times = ["infinity", "-infinity", "0001-01-01", "294276-12-31", "4713-01-01 BC"];
    db.admin()
        .batch_execute("alter table public.user_sessions disable trigger user")
        .unwrap();
    for status in ["active", "idle", "ended", "timeout"] {
        for column in [
            "started_at",
            "ended_at",
            "last_heartbeat_at",
            "last_activity_at",
            "updated_at",
            "created_at",
        ] {
            for time in times.iter().map(|time| format!("'{time}'")).chain(["null".into()]) {
                let sql = format!(
                    "insert into public.user_sessions (user_id, session_id, platform, status, {column})
                     values ('{USER}', gen_random_uuid()::text, 'web', '{status}', {time})"
                );
                // A column may be not null.
                let _ = client.batch_execute(&sql);
            }
        }
    }
    let times = "last_heartbeat_at = '-infinity', last_activity_at = '-infinity', updated_at = '-infinity'";
    client
        .batch_execute(&format!(
            "update public.user_sessions set {times} where session_id < '8'"
        ))
        .unwrap();
    client
        .batch_execute("update sessctl.job set last_success_at = 'infinity', last_failure_at = '-infinity', runs = 1")
        .unwrap();
    let run = db.sessctl(&["metrics"]).ok();
    assert_eq!(run.stderr, "");
    accepts("metrics of impossible times", &run.stdout);
    let samples = samples(&run.stdout);
    let count = number(
        &mut client,
        "select count(*) from public.user_sessions where status = 'active'",
    );
    assert!(count > 20);
    assert_eq!(samples["sessctl_active_sessions{platform=\"web\"}"] as i64, count);
    assert!(samples.values().all(|value| value.is_finite()), "{samples:#?}");
    assert!(samples.contains_key("sessctl_oldest_overdue_seconds{job=\"anonymize\"}"));
}

#[test]
fn active_sessions_are_counted_by_the_index_and_the_table_is_not_read() {
    let db = Db::migrated(Grants::Closed);
    let mut admin = db.admin();
    user(&mut admin);
    admin
        .batch_execute(&format!(
            "insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
             select '{USER}', n::text, 'web', case when n % 1000 = 0 then 'active' else 'ended' end, now() - interval '2 hours',
               case when n % 1000 > 0 then now() - interval '1 hour' end
             from generate_series(1, 50000) as n"
        ))
        .unwrap();
    admin.batch_execute("vacuum analyze public.user_sessions").unwrap();
    let mut scans = |column: &str| {
        let sql = format!("select coalesce({column}, 0) from pg_stat_user_tables where relname = 'user_sessions'");
        number(&mut admin, &sql)
    };
    let (read, by_index) = (scans("seq_tup_read"), scans("idx_scan"));
    assert_eq!(measure(&db)["sessctl_active_sessions{platform=\"web\"}"], 50.0);
    // The server counts a connection's scans by its end.
    wait_until("scans of an index", || scans("idx_scan") > by_index);
    assert_eq!(scans("seq_tup_read"), read);
}

#[test]
fn a_role_gets_what_it_may_read_and_hears_what_is_missing() {
    let db = Db::migrated(Grants::Closed);
    fill(&db);
    let role = format!("meter_{}", db.name);
    let mut admin = db.admin();
    admin
        .batch_execute(&format!("create role {role} login password 'look'"))
        .unwrap();
    let run = || Run::of(&mut sessctl_on(db.url_as(&role, "look"), &["metrics"]));
    let no_rights = run();
    let mut grant = |rights: &str| admin.batch_execute(&format!("grant {rights} to {role}")).unwrap();
    grant("usage on schema sessctl");
    grant("select on sessctl.job");
    let record = run();
    grant("select on public.user_sessions, sessctl.session_last_seen, sessctl.ended_last_seen, sessctl.ended_session");
    let filtered = run();
    admin.batch_execute(&format!("alter role {role} bypassrls")).unwrap();
    let sessions = run();
    admin
        .batch_execute(&format!(
            "grant select on sessctl.schema_history, sessctl.run, sessctl.declared to {role}"
        ))
        .unwrap();
    admin
        .batch_execute(&format!("alter role {role} set default_transaction_read_only = on"))
        .unwrap();
    let all = run();
    admin
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .unwrap();
    no_rights
        .exits(3)
        .says("permission denied")
        .says("grant select on sessctl.job to");
    let record = record
        .ok()
        .says("the metrics lack the counts of sessions: this role can't read");
    let names = samples(&record.stdout);
    assert!(
        names.contains_key("sessctl_runs_total{job=\"cleanup\"}") && names.contains_key("sessctl_table_size_bytes")
    );
    assert!(!record.stdout.contains("sessctl_active_sessions"), "{}", record.stdout);
    // Numbers of the rows that a policy shows would be wrong.
    let filtered = filtered.ok().says("row level security");
    assert!(
        !filtered.stdout.contains("sessctl_active_sessions"),
        "{}",
        filtered.stdout
    );
    assert_eq!(
        samples(&sessions.ok().stdout)["sessctl_active_sessions{platform=\"web\"}"],
        3.0
    );
    let all = all.ok();
    assert_eq!(all.stderr, "");
    assert_eq!(samples(&all.stdout).len(), measure(&db).len());
}

/// A file in a folder of its own, with metrics in it.
struct Textfile {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Textfile {
    fn of(db: &Db) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sessctl.prom");
        let textfile = Self { folder, file };
        let run = textfile.write(&db.url()).ok();
        assert_eq!((run.stdout, run.stderr), (String::new(), String::new()));
        textfile
    }

    fn write(&self, url: &str) -> Run {
        Run::of(&mut sessctl_on(
            url,
            &["metrics", "--output", self.file.to_str().unwrap()],
        ))
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    /// Nothing else is in the folder.
    fn is_alone(&self) -> bool {
        fs::read_dir(self.folder.path()).unwrap().count() == 1
    }
}

#[test]
fn the_file_has_what_the_terminal_shows_and_others_may_read_it() {
    let db = Db::migrated(Grants::Closed);
    fill(&db);
    let textfile = Textfile::of(&db);
    let (old, inode) = (textfile.text(), fs::metadata(&textfile.file).unwrap().ino());
    let shown = db.sessctl(&["metrics"]).ok().stdout;
    let names = |text: &str| samples(text).into_keys().collect::<BTreeSet<_>>();
    assert_eq!(names(&old), names(&shown));
    db.sessctl(&["end-inactive"]).ok();
    let mut command = clean("sh");
    let script = format!(
        "umask 022; '{}' metrics --quiet --output sessctl.prom",
        env!("CARGO_BIN_EXE_sessctl")
    );
    command
        .args(["-c", &script])
        .env("DATABASE_URL", db.url())
        .current_dir(textfile.folder.path());
    Run::of(&mut command).ok();
    let about = fs::metadata(&textfile.file).unwrap();
    // Another file under its name, so that no reader sees half of it.
    assert!(about.ino() != inode && textfile.text() != old && textfile.is_alone());
    assert_eq!(about.permissions().mode() & 0o777, 0o644);
    accepts("the file of metrics", &textfile.text());
}

#[test]
fn the_file_keeps_the_last_success_whatever_fails() {
    let db = Db::migrated(Grants::Closed);
    fill(&db);
    db.sessctl(&["end-inactive"]).ok();
    let textfile = Textfile::of(&db);
    let old = textfile.text();
    assert!(samples(&old)["sessctl_last_success_timestamp_seconds{job=\"end-inactive\"}"] > 1e9);
    let stays = |run: Run, hint: &str| {
        run.exits(3).says(hint);
        assert!(textfile.text() == old && textfile.is_alone());
    };
    // No server, no schema, no rights.
    stays(
        textfile.write("postgresql://postgres:x@127.0.0.1:1/postgres"),
        "can't connect",
    );
    stays(textfile.write(&Db::fresh(Grants::Closed).url()), "run sessctl migrate");
    let role = format!("blind_{}", db.name);
    db.admin()
        .batch_execute(&format!("create role {role} login password 'x'"))
        .unwrap();
    let denied = textfile.write(&db.url_as(&role, "x"));
    db.admin().batch_execute(&format!("drop role {role}")).unwrap();
    stays(denied, "grant select on sessctl.job");
    // A disk without room: no file may grow.
    let mut full = clean("sh");
    let script = format!(
        "trap '' XFSZ; ulimit -f 0; exec '{}' metrics --output sessctl.prom",
        env!("CARGO_BIN_EXE_sessctl")
    );
    full.args(["-c", &script])
        .env("DATABASE_URL", db.url())
        .current_dir(textfile.folder.path());
    stays(Run::of(&mut full), "can't write sessctl.prom");
    // A session that holds the table.
    let mut holder = db.admin();
    holder
        .batch_execute("begin; lock table public.user_sessions in access exclusive mode")
        .unwrap();
    stays(textfile.write(&db.url()), "metrics failed");
    drop(holder);
    db.sessctl(&["cleanup"]).ok();
    textfile.write(&db.url()).ok();
    assert!(textfile.text() != old);
    let nowhere = textfile.folder.path().join("no/folder/sessctl.prom");
    db.sessctl(&["metrics", "--output", nowhere.to_str().unwrap()])
        .exits(3)
        .says("can't write");
}

#[test]
fn metrics_of_an_older_schema_say_that_it_is_not_up_to_date() {
    let db = Db::fresh(Grants::Closed);
    db.sessctl(&["metrics"]).exits(3).says("run sessctl migrate");
    db.sessctl(&["migrate", "--target", "6"]).ok();
    let samples = measure(&db);
    assert_eq!(samples["sessctl_schema_up_to_date"], 0.0);
    assert!(samples.contains_key("sessctl_runs_total{job=\"cleanup\"}"));
}

/// Every name that the program prints of a database with sessions and runs.
fn printed() -> BTreeSet<String> {
    let db = Db::migrated(Grants::Closed);
    fill(&db);
    let json = db.sessctl(&["metrics", "--format", "json"]).ok().json();
    let names = json["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|metric| metric["name"].as_str().unwrap().to_owned());
    names.collect()
}

fn named(text: &str) -> BTreeSet<String> {
    let name = Regex::new(r"\bsessctl_[a-z_]+").unwrap();
    name.find_iter(text).map(|found| found.as_str().to_owned()).collect()
}

/// The queries of the dashboard's panels.
fn queries() -> Vec<String> {
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(format!("{DOCS}/dashboard.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_dashboard_and_the_alerts_use_the_names_that_are_printed() {
    let printed = printed();
    let alerts = fs::read_to_string(format!("{DOCS}/alerts.yml")).unwrap();
    let used: BTreeSet<String> = &named(&alerts) | &named(&queries().join("\n"));
    assert_eq!(used, printed);
    let page = fs::read_to_string(format!("{DOCS}.md")).unwrap();
    assert_eq!(
        &printed - &named(&page),
        BTreeSet::new(),
        "docs/observe.md explains each"
    );
}

#[test]
fn promtool_accepts_the_alerts_and_the_queries_of_the_dashboard() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/alerts_test.yml");
    fs::copy(format!("{DOCS}/alerts.yml"), folder.path().join("alerts.yml")).unwrap();
    fs::copy(fixture, folder.path().join("alerts_test.yml")).unwrap();
    let rules = queries()
        .iter()
        .enumerate()
        .map(|(n, query)| format!("      - record: panel:{n}\n        expr: {query:?}\n"))
        .collect::<String>();
    fs::write(
        folder.path().join("panels.yml"),
        format!("groups:\n  - name: panels\n    rules:\n{rules}"),
    )
    .unwrap();
    for arguments in [
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
        ["check", "rules", "panels.yml"],
    ] {
        let what = format!("promtool {}", arguments.join(" "));
        if let Some(run) = promtool(&what, &arguments, folder.path(), "") {
            assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
        }
    }
    let rules = fs::read_to_string(folder.path().join("alerts.yml")).unwrap();
    assert_eq!(rules.matches("- alert:").count(), 3);
}
