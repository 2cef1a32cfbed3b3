//! What users see, word for word: each test compares a transcript with the file of its name in tests/golden/.
//!
//! `make golden` writes the files, and removes those that no test writes; such a file fails the tests.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use clap::CommandFactory;
use postgres::{Client, NoTls};
use regex::Regex;
use serde_json::Value;
use sessctl::cli::Cli;
use sessctl::sandbox::Grants;
use snapbox::assert::Action;
use snapbox::data::DataFormat;
use snapbox::{Assert, Data, IntoData};

use crate::common::{Db, ORIGINAL_SCRIPT, Run, admin, sessctl};
use crate::schedule::with_pg_cron;

/// Values that differ from run to run, from machine to machine or from one server version to another.
static FILTERS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]"),
        (r"running for \d+s", "running for [TIME]"),
        (r"\btest_\d+\b", "[DATABASE]"),
        (r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00(:00)?)?", "[TIME]"),
        (r"\b\d+ ms\b", "[N] ms"),
        (r"\b\d+(\.\d)? s\b", "[N] s"),
        (r#""elapsed_ms": \d+"#, r#""elapsed_ms": "[N]""#),
        (r"(?m)^20\d\d-\d\d-\d\d(,| )", "[DAY]${1}"),
        (r#""20\d\d-\d\d-\d\d""#, "\"[DAY]\""),
        (r"of days before 20\d\d-\d\d-\d\d", "of days before [DAY]"),
        // PostgreSQL 17 has one right more.
        (r"(?m)^.*\bright maintain on .*\n", ""),
        // The average grows while the test runs.
        (
            r#"(?m)("avg_session_minutes": |^[a-z-]+,\d+,)\d+(\.\d+)?"#,
            "${1}[MINUTES]",
        ),
        // A table and its indexes have more pages in some versions.
        (
            r"(?m)^(public\.user_sessions|total|\w+_(?:pkey|key)|idx_\w+)( +)[\d,]+ (bytes|kB|MB)$",
            "${1}${2}[SIZE]",
        ),
        (r#""(table_)?bytes": \d+"#, r#""${1}bytes": "[N]""#),
        (r"\bprocess \d+\b", "process [PID]"),
        // Sizes, times and what the server's statistics know so far.
        (
            r"(?m)^(sessctl_\w+(?:_bytes|_seconds)(?:\{.*\})?) [1-9][\d.]*$",
            "${1} [N]",
        ),
        (r"(?m)^(sessctl_\w+_rows) \d+$", "${1} [N]"),
        (r#""value": \d{4,}(\.\d+)?"#, r#""value": "[N]""#),
        (r"\bpg_terminate_backend\(\d+\)", "pg_terminate_backend([PID])"),
        (r"\bPostgreSQL \d\d[.\w]*", "PostgreSQL [VERSION]"),
        (r"\bos error \d+\b", "os error [N]"),
        (r"\b20\d{12}_sessctl_", "[TIMESTAMP]_sessctl_"),
        // Of a migration's text, in its history row.
        (r"'\d{10,20}'\);", "'[CHECKSUM]');"),
    ]
    .map(|(pattern, name)| (Regex::new(pattern).unwrap(), name))
    .into()
});

/// The program's runs, as a terminal would show them, the streams apart.
#[derive(Default)]
struct Transcript(String);

impl Transcript {
    fn on(&mut self, db: &Db, arguments: &[&str]) {
        self.add(arguments, &db.sessctl(arguments));
    }

    /// One run for each format.
    fn formats(&mut self, db: &Db, arguments: &[&str], formats: &[&str]) {
        for format in formats {
            self.on(db, &[arguments, &["--format", format]].concat());
        }
    }

    /// With this connection string, whose password no file should have.
    fn at(&mut self, url: &str, arguments: &[&str]) {
        self.add(arguments, &Run::of(sessctl().env("DATABASE_URL", url).args(arguments)));
    }

    fn add(&mut self, arguments: &[&str], run: &Run) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        let stdout = if arguments.contains(&"json") {
            pretty(&run.stdout)
        } else {
            run.stdout.clone()
        };
        self.0.push_str(&format!("$ sessctl {}\n", quoted(arguments)));
        for (stream, text) in [("stderr", &run.stderr), ("stdout", &stdout)] {
            if !text.is_empty() {
                self.0.push_str(&format!("--- {stream}\n{}", redacted(text)));
            }
            if !text.is_empty() && !text.ends_with('\n') {
                self.0.push_str("\\ no newline\n");
            }
        }
        self.0.push_str(&format!("--- exit code {}\n", run.code));
    }

    /// Compares it with the file of this name, or writes the file.
    fn compare(self, name: &str) -> Result<(), String> {
        let file = folder().join(name).with_extension("txt");
        if writes() {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, self.0).unwrap();
            return Ok(());
        }
        // Raw: no part of the file is a pattern.
        let kept = Data::read_from(&file, Some(DataFormat::Text)).raw();
        Assert::new()
            .action(Action::Verify)
            .try_eq(Some(&"now"), self.0.into_data(), kept)
            .map_err(|difference| format!("tests/golden/{name}.txt differs; make golden writes it\n{difference}"))
    }
}

/// Whether the files are to be written, not compared.
fn writes() -> bool {
    std::env::var_os("SESSCTL_WRITE_GOLDEN").is_some()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn quoted(arguments: &[&str]) -> String {
    let quote = |argument: &&str| {
        if argument.contains([' ', '*']) {
            format!("'{argument}'")
        } else {
            (*argument).to_owned()
        }
    };
    arguments.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// JSON over several lines; that the program writes it in one, with sorted keys, is asserted.
fn pretty(line: &str) -> String {
    if line.is_empty() {
        return String::new();
    }
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(line, format!("{value}\n"));
    serde_json::to_string_pretty(&value).unwrap() + "\n"
}

/// Without what differs between runs, and with control characters made visible.
fn redacted(text: &str) -> String {
    let mut text = without_migrations(text);
    for (pattern, name) in FILTERS.iter() {
        text = pattern.replace_all(&text, *name).into_owned();
    }
    let visible = |c: char| match c {
        '\n' => "\n".into(),
        c if c.is_control() => c.escape_unicode().to_string(),
        c => c.to_string(),
    };
    text.chars().map(visible).collect()
}

/// The text of each migration becomes its name: that text has files of its own.
fn without_migrations(text: &str) -> String {
    let mut text = text.to_owned();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "sql") {
            continue;
        }
        let sql = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let short = format!("[SQL of {}]", name.split_once("__").unwrap().1);
        text = text
            .replace(&serde_json::to_string(&sql).unwrap(), &format!("\"{short}\""))
            .replace(sql.trim_end(), &short);
    }
    text
}

/// Sessions whose ages print the same for half a minute at least.
fn fill(db: &Db) {
    db.client()
        .batch_execute(
            "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions
               (user_id, session_id, platform, status, started_at, created_at, last_activity_at, last_heartbeat_at, updated_at, ended_at)
             select
               '00000000-0000-4000-8000-000000000001', s.session_id, s.platform, s.status, now() - s.started, now() - s.started,
               now() - s.seen, now() - s.seen, now() - s.seen, now() - s.ended
             from (values
               ('fresh', 'web', 'active', interval '3 hours 12 minutes 10 seconds', interval '5 minutes 10 seconds', null::interval),
               ('newest', 'web', 'active', '20 minutes 10 seconds', '20 minutes 10 seconds', null),
               ('due', 'web', 'active', '2 days 5 hours 30 minutes', '26 hours 30 minutes', null),
               ('alone', 'ios-widget', 'active', '10 days 30 minutes', '3 hours 10 seconds', null),
               ('idle', 'macos-internal', 'idle', '4 days', '2 days', null),
               ('kept', 'web', 'ended', '11 days', '10 days', '10 days'),
               ('past', 'web', 'ended', '101 days', '100 days', '100 days'),
               ('longer past', 'ios-external', 'timeout', '302 days', '301 days', '300 days')
             ) as s (session_id, platform, status, started, seen, ended)",
        )
        .unwrap();
}

fn filled() -> Db {
    let db = Db::migrated(Grants::Closed);
    fill(&db);
    db
}

/// A project where the script was pasted.
fn pasted() -> Db {
    let db = Db::fresh(Grants::Open);
    db.client().batch_execute(ORIGINAL_SCRIPT).unwrap();
    db
}

/// Differences of each class, and a team's own trigger and policy.
fn drifted() -> Db {
    let db = Db::migrated(Grants::Closed);
    db.admin()
        .batch_execute(
            "alter table public.user_sessions disable row level security, add column app_version text;
             drop index public.idx_user_sessions_platform;
             alter table public.user_sessions drop constraint user_sessions_status_check;
             grant select on public.user_sessions to anon;
             alter table public.user_sessions alter column activity_count set default 1;
             create index of_mine on public.user_sessions (ip_address);
             create trigger audit after insert on public.user_sessions
               for each row execute function public.update_user_sessions_updated_at_column();
             create policy support on public.user_sessions for select to service_role using (true)",
        )
        .unwrap();
    db
}

const NEWER: &str = "insert into sessctl.schema_history values (99, 'from_the_future', '2030-01-01T00:00:00Z', '1')";

/// Tests that each write the file of their name; and the list of these names.
macro_rules! golden {
    ($($name:ident: $scene:expr;)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                let mut transcript = Transcript::default();
                let scene: fn(&mut Transcript) = $scene;
                scene(&mut transcript);
                transcript.compare(stringify!($name)).unwrap_or_else(|difference| panic!("{difference}"));
            }
        )*
    };
}

golden! {
    migrate_fresh: |t| {
        let db = Db::fresh(Grants::Closed);
        t.on(&db, &["migrate", "--target", "2"]);
        t.on(&db, &["migrate"]);
        t.on(&db, &["migrate"]);
        t.on(&db, &["migrate", "--quiet"]);
        t.formats(&db, &["migrate"], &["json"]);
        t.formats(&Db::fresh(Grants::Closed), &["migrate"], &["json"]);
    };
    migrate_dry_run: |t| {
        let db = pasted();
        t.formats(&db, &["migrate", "--dry-run"], &["table", "json"]);
        t.on(&db, &["migrate", "--dry-run", "--target", "1"]);
        let db = Db::migrated(Grants::Closed);
        t.formats(&db, &["migrate", "--dry-run"], &["table", "json"]);
    };
    migrate_pasted: |t| {
        let db = pasted();
        fill(&db);
        db.admin()
            .batch_execute("create policy \"support may look\" on public.user_sessions for select to service_role using (true)")
            .unwrap();
        t.on(&db, &["migrate"]);
    };
    export: |t| {
        let folder = tempfile::tempdir().unwrap();
        let migrations = folder.path().join("supabase/migrations");
        let run = |t: &mut Transcript, arguments: &[&str]| {
            t.add(arguments, &Run::of(sessctl().current_dir(folder.path()).args(arguments)));
        };
        let arguments = ["export", "supabase/migrations"];
        run(t, &arguments);
        fs::create_dir_all(&migrations).unwrap();
        fs::write(migrations.join("20200101000000_sessctl_v12.sql"), "").unwrap();
        run(t, &arguments);
        run(t, &arguments);
        run(t, &[&arguments[..], &["--format", "json"]].concat());
        fs::remove_dir_all(&migrations).unwrap();
        fs::create_dir_all(&migrations).unwrap();
        run(t, &[&arguments[..], &["--format", "json"]].concat());
        fs::write(migrations.join("99991231235959_last.sql"), "").unwrap();
        fs::remove_file(fs::read_dir(&migrations).unwrap().map(|entry| entry.unwrap().path()).min().unwrap()).unwrap();
        run(t, &arguments);
    };
    end_inactive: |t| {
        let db = filled();
        t.formats(&db, &["end-inactive", "--dry-run"], &["table", "json"]);
        t.on(&db, &["end-inactive", "--dry-run", "--include-idle"]);
        t.on(&db, &["end-inactive", "--minutes", "1440"]);
        t.formats(&db, &["end-inactive"], &["json", "table"]);
    };
    end_inactive_skipped: |t| {
        let db = filled();
        let mut other = db.admin();
        other
            .batch_execute("begin; select pg_advisory_xact_lock(1936028531, 2)")
            .unwrap();
        t.formats(&db, &["end-inactive"], &["table", "json"]);
    };
    cleanup: |t| {
        let db = filled();
        t.formats(&db, &["cleanup", "--dry-run"], &["table", "json"]);
        t.on(&db, &["cleanup", "--days", "200"]);
        t.formats(&db, &["cleanup"], &["json", "table"]);
    };
    anonymize: |t| {
        let db = filled();
        db.client()
            .batch_execute("update public.user_sessions set ip_address = '203.0.113.77', user_agent = 'agent'")
            .unwrap();
        t.formats(&db, &["anonymize", "--dry-run"], &["table", "json"]);
        t.on(&db, &["anonymize", "--days", "200", "--ip", "truncate"]);
        t.formats(&db, &["anonymize"], &["table"]);
        t.formats(&db, &["anonymize", "--yes"], &["json", "table"]);
        t.on(&db, &["anonymize", "--ip", "hash"]);
    };
    metrics: |t| {
        let db = filled();
        t.on(&db, &["end-inactive", "--minutes", "1440"]);
        t.on(&db, &["metrics"]);
        t.on(&db, &["metrics", "--output", "/no/such/folder/sessctl.prom"]);
        t.formats(&Db::migrated(Grants::Closed), &["metrics"], &["json", "csv"]);
        t.on(&Db::fresh(Grants::Closed), &["metrics"]);
    };
    cleanup_skipped: |t| {
        let db = filled();
        let mut other = db.admin();
        other
            .batch_execute("begin; select pg_advisory_xact_lock(1936028531, 3)")
            .unwrap();
        t.formats(&db, &["cleanup"], &["table", "json"]);
    };
    summary: |t| {
        t.formats(&Db::migrated(Grants::Closed), &["summary"], &["table", "json", "csv"]);
        t.formats(&filled(), &["summary"], &["table", "json", "csv"]);
    };
    stats: |t| {
        t.formats(&Db::migrated(Grants::Closed), &["stats", "--days", "2"], &["table", "json", "csv"]);
        let db = filled();
        // Whole days: what started today would move to another one.
        db.client()
            .batch_execute(
                "delete from public.user_sessions;
                 insert into public.user_sessions (user_id, session_id, platform, status, end_reason, started_at, last_heartbeat_at, ended_at)
                 select '00000000-0000-4000-8000-000000000001', s.session_id, s.platform, s.status, s.reason, s.day, s.day + s.seen, s.day + s.ended
                 from (select (date_trunc('day', now() at time zone 'UTC') - interval '1 day') at time zone 'UTC' as day) as yesterday
                 cross join lateral (values
                   ('a', 'web', 'ended', 'logout', day, interval '9 minutes', interval '10 minutes'),
                   ('b', 'web', 'timeout', 'timeout', day, '30 minutes', '90 minutes'),
                   ('c', 'web', 'active', null, day - interval '1 day', '2 hours', null),
                   ('d', 'ios-widget', 'idle', null, day, '50 minutes', null),
                   ('e', 'web', 'ended', 'logout', day - interval '3 days', '9 minutes', '10 minutes')
                 ) as s (session_id, platform, status, reason, day, seen, ended)",
            )
            .unwrap();
        t.formats(&db, &["stats", "--days", "3"], &["table", "json", "csv"]);
        t.formats(&db, &["stats", "--days", "2", "--by", "platform"], &["table", "json", "csv"]);
        db.sessctl(&["cleanup", "--days", "2", "--yes"]).ok();
        t.formats(&db, &["stats", "--days", "4"], &["table", "json"]);
        t.on(&db, &["stats", "--timezone", "Europe/Atlantis"]);
        t.on(&db, &["stats", "--html", "/nowhere/report.html"]);
    };
    verify: |t| {
        t.formats(&Db::migrated(Grants::Closed), &["verify"], &["table", "json", "csv", "github"]);
    };
    verify_pending: |t| {
        let db = Db::fresh(Grants::Closed);
        db.sessctl(&["migrate", "--target", "8"]).ok();
        t.formats(&db, &["verify"], &["table", "json", "csv", "github"]);
    };
    migrate_repair: |t| {
        let db = drifted();
        t.formats(&db, &["migrate", "--repair", "--dry-run"], &["table", "json"]);
        t.on(&db, &["migrate", "--repair"]);
        t.on(&db, &["migrate", "--repair", "--yes"]);
        t.formats(&db, &["migrate", "--repair", "--yes"], &["table", "json"]);
        db.client()
            .batch_execute("alter table public.user_sessions rename to old_sessions")
            .unwrap();
        t.on(&db, &["migrate", "--repair", "--yes"]);
    };
    verify_drift: |t| {
        let db = drifted();
        t.formats(
            &db,
            &["verify", "--allow", "trigger:audit", "--allow", "policy:support"],
            &["table", "json", "csv", "github"],
        );
        t.on(&db, &["verify", "--strict"]);
    };
    status: |t| {
        t.formats(&Db::fresh(Grants::Closed), &["status"], &["table", "json", "csv"]);
        t.formats(&Db::migrated(Grants::Closed), &["status"], &["table", "json", "csv"]);
    };
    doctor_healthy: |t| {
        t.formats(&Db::migrated(Grants::Closed), &["doctor"], &["table", "json", "csv"]);
        t.on(&Db::fresh(Grants::Open), &["doctor"]);
    };
    doctor_problems: |t| {
        let db = filled();
        // Inserted, since what an update leaves is counted as dead rows at some later time.
        db.admin()
            .batch_execute(
                "insert into public.user_sessions (user_id, session_id, platform, status, started_at, last_heartbeat_at, ended_at)
                 values
                   ('00000000-0000-4000-8000-000000000001', 'impossible', 'web', 'active', 'infinity', now(), null),
                   ('00000000-0000-4000-8000-000000000001', 'clock', 'web', 'active', now(), now() - interval '30 minutes', null),
                   ('00000000-0000-4000-8000-000000000001', 'resumed', 'web', 'timeout', now(), now(), now() - interval '1 hour');
                 create publication realtime for table public.user_sessions;
                 alter table public.user_sessions disable row level security",
            )
            .unwrap();
        t.formats(&db, &["doctor"], &["table", "json", "csv"]);
    };
    schedule_install_dry_run: |t| {
        for arguments in [
            &["schedule", "install", "--dry-run"][..],
            &["schedule", "install", "--dry-run", "--end-inactive", "* * * * *", "--minutes", "30", "--days", "30"],
            &["schedule", "install", "--dry-run", "--format", "json"],
        ] {
            t.add(arguments, &Run::of(sessctl().args(arguments)));
        }
    };
    schedule_without_pg_cron: |t| {
        let db = Db::migrated(Grants::Closed);
        let available = "select exists (select from pg_available_extensions where name = 'pg_cron')";
        // The hint differs where the package is installed.
        let hint = if db.client().query_one(available, &[]).unwrap().get(0) {
            "enable it in the dashboard"
        } else {
            "this server does not have it"
        };
        for action in ["install", "list", "remove"] {
            let mut run = db.sessctl(&["schedule", action]).says(hint);
            run.stderr.truncate(run.stderr.find(hint).unwrap());
            t.add(&["schedule", action], &run);
        }
    };
    config: |t| {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let run = |t: &mut Transcript, arguments: &[&str]| {
            let mut command = sessctl();
            command.current_dir(folder.path()).env("SESSCTL_CLEANUP_DAYS", "30");
            t.add(arguments, &Run::of(command.args(arguments)));
        };
        run(t, &["config"]);
        write("sessctl.toml", "[end-inactive]\nminutes = 30\n\n[verify]\nstrict = true\nallow = [\"trigger:audit\"]\n");
        write(".env", "DATABASE_URL=postgresql://postgres:secret@127.0.0.1/postgres");
        fs::set_permissions(folder.path().join(".env"), PermissionsExt::from_mode(0o600)).unwrap();
        for format in ["table", "json", "csv"] {
            run(t, &["config", "--format", format]);
        }
        for (name, text) in [
            ("key.toml", "[cleanup]\nday = 30\n"),
            ("table.toml", "[clean-up]\ndays = 30\n"),
            ("value.toml", "[cleanup]\ndays = 0\n"),
            ("text.toml", "[verify]\nallow = [\"trigger:audit\", \"audit\"]\n"),
            ("secret.toml", "database-url = \"postgresql://postgres:secret@127.0.0.1/postgres\"\n"),
            ("not.toml", "[cleanup\ndays = 30\n"),
        ] {
            write(name, text);
            run(t, &["config", "--config", name]);
        }
    };
    colour: |t| {
        let db = filled();
        for arguments in [&["summary"][..], &["status"], &["verify"], &["doctor"], &["end-inactive"], &["cleanup"], &["migrate"]] {
            t.on(&db, &[arguments, &["--color", "always"]].concat());
        }
        t.on(&drifted(), &["verify", "--allow", "trigger:audit", "--color", "always"]);
        t.on(&pasted(), &["migrate", "--dry-run", "--color", "always"]);
    };
    error_no_database: |t| {
        let folder = tempfile::tempdir().unwrap();
        t.add(&["status"], &Run::of(sessctl().current_dir(folder.path()).arg("status")));
    };
    error_unescaped_password: |t| {
        t.at("postgresql://postgres:secr@t@127.0.0.1:5432/postgres", &["status"]);
        t.at("postgresql://postgres:secr#t@127.0.0.1:5432/postgres", &["status"]);
        t.at("postgresql://postgres:secr/t@127.0.0.1:5432/postgres", &["status"]);
        t.at("postgresql://postgres:secr%t@127.0.0.1:5432/postgres", &["status"]);
    };
    error_connection_refused: |t| {
        t.at("postgresql://postgres:secret@127.0.0.1:1/postgres", &["status"]);
        t.at("postgresql://postgres:secret@127.0.0.1:1/postgres", &["status", "--verbose"]);
    };
    error_wrong_password: |t| {
        let db = Db::migrated(Grants::Closed);
        let wrong = db.url_as("postgres", "wrong");
        t.at(&wrong, &["status"]);
        t.at(&wrong, &["status", "--verbose"]);
    };
    error_unknown_host: |t| {
        let url = "postgresql://postgres:secret@host.invalid:5432/postgres";
        let mut run = Run::of(sessctl().env("DATABASE_URL", url).arg("status"));
        // The resolver's words differ with the system and the network.
        let words = Regex::new("failed to lookup address information: [^\n]*").unwrap();
        run.stderr = words.replace(&run.stderr, "failed to lookup address information: [..]").into_owned();
        t.add(&["status"], &run);
    };
    error_not_migrated: |t| {
        let db = Db::fresh(Grants::Closed);
        for command in ["summary", "end-inactive", "cleanup"] {
            t.on(&db, &[command]);
        }
    };
    error_not_supabase: |t| {
        let db = Db { name: "test_0".into() };
        admin("postgres").batch_execute("create database test_0 template template0 owner postgres").unwrap();
        t.on(&db, &["migrate"]);
    };
    error_read_only: |t| {
        let db = filled();
        db.admin()
            .batch_execute(&format!("alter database {} set default_transaction_read_only = on", db.name))
            .unwrap();
        t.on(&db, &["end-inactive"]);
        t.on(&db, &["cleanup"]);
        t.on(&db, &["doctor"]);
        let db = Db::fresh(Grants::Closed);
        db.admin()
            .batch_execute(&format!("alter database {} set default_transaction_read_only = on", db.name))
            .unwrap();
        t.on(&db, &["migrate"]);
    };
    error_row_level_security: |t| {
        let db = filled();
        db.admin()
            .batch_execute("create role golden_limited login password 'limited' in role service_role inherit")
            .unwrap();
        let url = db.url_as("golden_limited", "limited");
        for command in ["end-inactive", "cleanup", "summary", "doctor"] {
            t.at(&url, &[command]);
        }
        drop(db);
        admin("postgres").batch_execute("drop role golden_limited").unwrap();
    };
    error_locked: |t| {
        let db = filled();
        let mut holder = db.client();
        holder.batch_execute("begin; lock table public.user_sessions").unwrap();
        t.on(&db, &["end-inactive", "--max-retries", "0"]);
        t.on(&db, &["end-inactive", "--max-retries", "0", "--verbose"]);
        t.on(&db, &["summary"]);
    };
    error_wrong_format: |t| {
        for arguments in [&["migrate", "--format", "csv"], &["summary", "--format", "github"]] {
            t.add(arguments, &Run::of(sessctl().args(arguments)));
        }
    };
    error_wrong_flag: |t| {
        for arguments in [
            &["cleanup", "--days", "0"][..],
            &["cleanup", "--day", "1"],
            &["cleanup", "--pause", "soon"],
            &["summary", "--format", "xml"],
            &["verify", "--allow", "function:x"],
            &["clean"],
        ] {
            t.add(arguments, &Run::of(sessctl().args(arguments)));
        }
        t.on(&Db::fresh(Grants::Closed), &["migrate", "--target", "99"]);
    };
    error_newer_sessctl: |t| {
        let db = Db::migrated(Grants::Closed);
        db.client().batch_execute(NEWER).unwrap();
        t.on(&db, &["migrate"]);
        t.formats(&db, &["verify"], &["table", "json"]);
        t.formats(&db, &["status"], &["table", "json", "csv"]);
    };
    error_changed_migration: |t| {
        let db = Db::migrated(Grants::Closed);
        db.client()
            .batch_execute("update sessctl.schema_history set checksum = '7' where version = 2")
            .unwrap();
        t.on(&db, &["migrate"]);
        t.on(&db, &["status"]);
    };
    error_other_shape: |t| {
        let db = Db::fresh(Grants::Closed);
        db.client()
            .batch_execute("create table public.user_sessions (id bigint primary key, user_id uuid, session_id text)")
            .unwrap();
        t.on(&db, &["migrate"]);
        t.on(&db, &["doctor"]);
    };
}

/// The file of a test that has conditions.
const SCHEDULE: &str = "schedule";

#[test]
fn schedule() {
    let Some(sandbox) = with_pg_cron() else { return };
    let url = sandbox.url();
    let mut t = Transcript::default();
    t.at(&url, &["migrate", "--quiet"]);
    t.at(&url, &["schedule", "list"]);
    // Days that never come, so that pg_cron starts no run.
    let never = ["--end-inactive", "0 0 30 2 *", "--cleanup", "0 0 31 2 *"];
    t.at(&url, &[&["schedule", "install"], &never[..]].concat());
    t.at(
        &url,
        &[&["schedule", "install", "--format", "json"], &never[..]].concat(),
    );
    t.at(&url, &["schedule", "install", "--cleanup", "whenever"]);
    let mut client = Client::connect(&url, NoTls).unwrap();
    client
        .batch_execute(
            "insert into cron.job_run_details (jobid, runid, database, username, command, status, return_message, start_time, end_time)
             select j.jobid, r.id, 'postgres', 'postgres', j.command, r.status, r.message, now() - r.ago, now() - r.ago + interval '12 ms'
             from cron.job as j,
               (values
                 (100002, 'succeeded', 'CALL', interval '1 hour'),
                 (100001, 'failed', E'ERROR: out of luck\nand more', interval '2 hours')
               ) as r (id, status, message, ago)
             where j.jobname = 'sessctl-end-inactive';
             insert into sessctl.run (id, job, source, cutoff, started_at, finished_at, outcome, rows_done)
             select gen_random_uuid(), 'end-inactive', 'pg_cron', start_time, start_time + interval '1 ms', end_time, 'done', 1234
             from cron.job_run_details where runid = 100002",
        )
        .unwrap();
    for format in ["table", "json", "csv"] {
        t.at(&url, &["schedule", "list", "--format", format]);
    }
    t.at(&url, &["doctor"]);
    t.at(&url, &["schedule", "remove"]);
    t.at(&url, &["schedule", "remove", "--format", "json"]);
    t.at(&url, &["schedule", "remove"]);
    t.compare(SCHEDULE).unwrap_or_else(|difference| panic!("{difference}"));
}

/// The program and every command, each as the words that call it.
fn commands() -> Vec<Vec<String>> {
    fn below(command: &clap::Command, words: &[String], list: &mut Vec<Vec<String>>) {
        list.push(words.to_vec());
        for command in command.get_subcommands() {
            below(command, &[words, &[command.get_name().to_owned()]].concat(), list);
        }
    }
    let mut list = Vec::new();
    below(&Cli::command(), &[], &mut list);
    list
}

fn help_file(words: &[String]) -> String {
    match words {
        [] => "help/sessctl".into(),
        words => format!("help/{}", words.join("_")),
    }
}

#[test]
fn help_of_every_command() {
    let mut differences = Vec::new();
    for words in commands() {
        let mut transcript = Transcript::default();
        let arguments: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let run = Run::of(sessctl().env("COLUMNS", "100").args(&arguments));
        transcript.add(&arguments, &run.ok());
        differences.extend(transcript.compare(&help_file(&words)).err());
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_golden_file_has_a_test() {
    let help = commands();
    let known: BTreeSet<String> = NAMES
        .iter()
        .map(|name| (*name).to_owned())
        .chain([SCHEDULE.to_owned()])
        .chain(help.iter().map(|words| help_file(words)))
        .map(|name| format!("{name}.txt"))
        .collect();
    let mut found = BTreeSet::new();
    for folder_name in ["", "help/"] {
        for entry in fs::read_dir(folder().join(folder_name)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                found.insert(format!("{folder_name}{}", entry.file_name().to_str().unwrap()));
            } else {
                assert_eq!(entry.file_name(), "help", "a folder that no test writes");
            }
        }
    }
    let orphans: Vec<&String> = found.difference(&known).collect();
    if writes() {
        for orphan in orphans {
            fs::remove_file(folder().join(orphan)).unwrap();
        }
    } else {
        assert!(
            orphans.is_empty(),
            "no test writes these files of tests/golden, make golden removes them: {orphans:?}"
        );
    }
}
