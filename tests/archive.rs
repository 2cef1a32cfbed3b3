//! A cleanup that archives: what is deleted stands in a finished part before, whatever happens.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::parser::parse_message_type;
use postgres::Client;
use serde_json::Value;
use sessctl::sandbox::Grants;
use tempfile::TempDir;

use crate::common::readers::python;
use crate::common::running::{Running, wait_until};
use crate::common::{Db, Run, clean, not_run, number};

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

/// Adds sessions s1 and on, which ended 100 days ago and more, `hours` apart.
fn seed(client: &mut Client, sessions: u32, hours: f64) {
    client
        .batch_execute(&format!(
            "insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at, user_agent, ip_address)
             select '{USER}', 's' || n, 'web', 'ended', e.at - interval '1 hour', e.at, md5(n::text), '10.11.12.13'
             from generate_series(1, {sessions}) as n
             cross join lateral (select now() - interval '100 days' - n * {hours} * interval '1 hour') as e (at);
             analyze public.user_sessions"
        ))
        .unwrap();
}

/// A folder that does not exist yet, in one that goes with the value.
fn folder() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("archive");
    (parent, path)
}

/// The finished parts, in the order of their names.
fn parts(dir: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("ended_month="))
        .flat_map(|month| fs::read_dir(month).unwrap().map(|entry| entry.unwrap().path()))
        .collect();
    parts.sort();
    parts
}

/// What lies in the folder beside the months.
fn others(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).into_iter().flatten();
    let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.starts_with("ended_month=")).collect()
}

type Row = BTreeMap<String, Field>;

fn rows_of(part: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(File::open(part).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(Result::unwrap);
    rows.map(|row| {
        row.get_column_iter()
            .map(|(name, field)| (name.clone(), field.clone()))
            .collect()
    })
    .collect()
}

fn rows(dir: &Path) -> Vec<Row> {
    parts(dir).iter().flat_map(|part| rows_of(part)).collect()
}

fn text(row: &Row, column: &str) -> Option<String> {
    match &row[column] {
        Field::Str(text) => Some(text.clone()),
        Field::Null => None,
        other => panic!("{column} is {other}"),
    }
}

/// The ids that the parts have.
fn archived(dir: &Path, known: &mut HashMap<PathBuf, Vec<String>>) -> HashSet<String> {
    let id = parse_message_type("message session { optional binary id (utf8); }").unwrap();
    for part in parts(dir) {
        known.entry(part).or_insert_with_key(|part| {
            let reader = SerializedFileReader::new(File::open(part).unwrap()).unwrap();
            let rows = reader.get_row_iter(Some(id.clone())).unwrap().map(Result::unwrap);
            rows.map(|row| row.get_column_iter().next().unwrap().1.to_string().replace('"', ""))
                .collect()
        });
    }
    known.values().flatten().cloned().collect()
}

fn ids(client: &mut Client) -> HashSet<String> {
    let rows = client.query("select id::text from public.user_sessions", &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The last run no longer counts as running: a minute has passed.
fn a_minute_later(client: &mut Client) {
    client
        .batch_execute("update sessctl.run set progress_at = progress_at - interval '2 minutes' where outcome is null")
        .unwrap();
}

fn sessions(client: &mut Client) -> i64 {
    number(client, "select count(*) from public.user_sessions")
}

fn archive<'a>(dir: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    [&["cleanup", "--archive", dir.to_str().unwrap()], more].concat()
}

/// A row of every kind, in a table with columns of the team's.
fn seed_every_kind(client: &mut Client) {
    client
        .batch_execute(&format!(
            r#"
            alter table public.user_sessions
              add column "App ""Version"" :run" text, add column score numeric, add column seen timestamptz, add column raw bytea;
            insert into public.user_sessions
              (user_id, session_id, platform, status, started_at, ended_at, last_activity_at, last_heartbeat_at, created_at,
               device_info, location_info, user_agent, ip_address, total_duration_seconds, activity_count, end_reason,
               "App ""Version"" :run", score, seen, raw)
            values
              ('{USER}', 'usual', 'web', 'timeout', '2026-01-31 23:00:00.000001+00', '2026-01-31 23:59:59.999999+00',
               '2026-01-31 23:30:00+00', '2026-01-31 23:31:00+00', '2026-01-31 23:00:00+00',
               '{{"os": "iOS", "quote": "\" \\ \u00e9"}}', '{{"city": "Zürich"}}', E'Mozilla "5.0" \\ \t 😀', '2001:db8::1/64', 3600, 7,
               'timeout', E'α\nβ', 1.50, 'infinity', '\x00ff'),
              ('{USER}', 'nulls', 'web', 'ended', '2026-02-01 00:00:00+00', '2026-02-01 00:00:00+00', '2026-02-01 00:00:00+00', null,
               '2026-02-01 00:00:00+00', '{{}}', null, null, null, null, null, null, null, null, null, null),
              ('{USER}', 'infinite', 'web', 'ended', '2026-02-01 00:00:00+00', '2026-02-01 00:00:01+00', '-infinity', 'infinity',
               'infinity', '{{}}', null, '', null, -2147483648, 2147483647, null, '', null, null, ''),
              ('{USER}', 'year one', 'web', 'ended', '0001-01-01 00:00:00+00', '0001-01-01 00:00:01+00', '4713-01-01 00:00:00+00 BC',
               '9999-12-31 23:59:59+00', '294260-01-01 00:00:00+00', '{{}}', null, null, null, null, null, null, null, null, null, null),
              ('{USER}', 'far', 'web', 'ended', '0044-03-15 00:00:00+00 BC', '0044-03-15 00:00:01+00 BC', '294246-01-01 00:00:00+00',
               null, '2026-02-01 00:00:00+00', '{{}}', null, null, null, null, null, null, null, null, null, null)
            "#
        ))
        .unwrap();
}

#[test]
fn a_row_of_every_kind_is_read_back_as_it_was() {
    let (db, mut client) = db();
    seed_every_kind(&mut client);
    let (_parent, dir) = folder();
    let run = db.sessctl(&archive(&dir, &["--format", "json"])).ok();
    assert_eq!(run.json()["deleted"], 5);
    assert_eq!(run.json()["archive"]["sessions"], 5);
    assert_eq!(run.json()["archive"]["files"], 3);
    let rows: BTreeMap<String, Row> = rows(&dir)
        .into_iter()
        .map(|row| (text(&row, "session_id").unwrap(), row))
        .collect();
    let get = |session: &str, column: &str| text(&rows[session], column);
    let usual = &rows["usual"];
    assert_eq!(get("usual", "user_id").unwrap(), USER);
    assert_eq!(get("usual", "ip_address").unwrap(), "2001:db8::1/64");
    assert_eq!(get("usual", "user_agent").unwrap(), "Mozilla \"5.0\" \\ \t 😀");
    let device: Value = serde_json::from_str(&get("usual", "device_info").unwrap()).unwrap();
    assert_eq!(device["quote"], "\" \\ é");
    assert_eq!(get("usual", "App \"Version\" :run").unwrap(), "α\nβ");
    assert_eq!(get("usual", "score").unwrap(), "1.50");
    assert_eq!(get("usual", "seen").unwrap(), "infinity");
    assert_eq!(get("usual", "raw").unwrap(), "\\x00ff");
    assert_eq!(usual["ended_at"], Field::TimestampMicros(1_769_903_999_999_999));
    assert_eq!(usual["started_at"], Field::TimestampMicros(1_769_900_400_000_001));
    assert_eq!(usual["total_duration_seconds"], Field::Int(3600));
    assert_eq!(usual["infinite_times"], Field::Null);
    for column in [
        "last_heartbeat_at",
        "location_info",
        "user_agent",
        "ip_address",
        "activity_count",
        "end_reason",
        "score",
    ] {
        assert_eq!(rows["nulls"][column], Field::Null, "{column}");
    }
    assert_eq!(get("infinite", "user_agent").unwrap(), "");
    assert_eq!(rows["infinite"]["total_duration_seconds"], Field::Int(i32::MIN));
    assert_eq!(rows["infinite"]["activity_count"], Field::Int(i32::MAX));
    assert_eq!(rows["infinite"]["created_at"], Field::Null);
    assert_eq!(
        get("infinite", "infinite_times").unwrap(),
        "last_activity_at=-infinity, last_heartbeat_at=infinity, created_at=infinity"
    );
    assert_eq!(
        rows["year one"]["ended_at"],
        Field::TimestampMicros(-62_135_596_799_000_000)
    );
    assert_eq!(
        rows["year one"]["last_activity_at"],
        Field::TimestampMicros(-210_863_520_000_000_000)
    );
    assert_eq!(
        get("year one", "infinite_times").unwrap(),
        "created_at=294260-01-01 00:00:00+00"
    );
    assert_eq!(
        rows["far"]["last_activity_at"],
        Field::TimestampMicros(9_223_339_708_800_000_000)
    );
    let months: Vec<String> = parts(&dir)
        .iter()
        .map(|part| {
            part.parent()
                .unwrap()
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(
        months,
        ["ended_month=0000-00", "ended_month=2026-01", "ended_month=2026-02"]
    );
    for path in parts(&dir)
        .iter()
        .flat_map(|part| [part.clone(), part.parent().unwrap().into(), dir.clone()])
    {
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o077,
            0,
            "{}",
            path.display()
        );
    }
    assert!(others(&dir).is_empty());
}

#[test]
fn the_texts_of_an_archive_are_the_same_whatever_a_database_has_set() {
    let (db, mut client) = db();
    seed_every_kind(&mut client);
    client
        .batch_execute("alter table public.user_sessions add column f double precision default 1.0 / 3, add column i interval default '1 day'")
        .unwrap();
    for setting in [
        "bytea_output = 'escape'",
        "datestyle = 'German, DMY'",
        "intervalstyle = 'sql_standard'",
        "extra_float_digits = -15",
        "timezone = 'Asia/Kathmandu'",
        "enable_tidscan = off",
        "default_transaction_isolation = 'serializable'",
        "standard_conforming_strings = off",
        "search_path = 'pg_temp'",
    ] {
        let sql = format!("alter database {} set {setting}", db.name);
        db.admin().batch_execute(&sql).unwrap();
    }
    let (_parent, dir) = folder();
    db.sessctl(&archive(&dir, &[])).ok().says("deleted 5 sessions");
    let rows = rows(&dir);
    let of = |session: &str, column: &str| {
        let row = rows.iter().find(|row| text(row, "session_id").unwrap() == session);
        text(row.unwrap(), column)
    };
    assert_eq!(of("usual", "raw").unwrap(), "\\x00ff");
    assert_eq!(of("usual", "f").unwrap(), "0.3333333333333333");
    assert_eq!(of("usual", "i").unwrap(), "1 day");
    assert_eq!(
        of("year one", "infinite_times").unwrap(),
        "created_at=294260-01-01 00:00:00+00"
    );
}

#[test]
fn settings_name_the_archive_and_a_command_of_another_users_file_is_refused() {
    let (db, mut client) = db();
    seed(&mut client, 3, 1.0);
    let project = tempfile::tempdir().unwrap();
    let (inner, file) = (project.path().join("inner"), project.path().join("sessctl.toml"));
    fs::create_dir_all(&inner).unwrap();
    fs::create_dir(project.path().join(".git")).unwrap();
    fs::write(
        &file,
        "[cleanup]\narchive = \"archive\"\narchive-command = \"test -s %p\"\narchive-without-addresses = true\n",
    )
    .unwrap();
    let run = |arguments: &[&str]| Run::of(db.command(arguments).current_dir(&inner));
    if chown(&file, Some(12_345), None).is_ok() {
        chown(&inner, Some(12_345), None).unwrap();
        run(&["cleanup"])
            .exits(2)
            .says("belongs to another user, and has a command to run");
        run(&["cleanup", "--dry-run", "--config", file.to_str().unwrap()]).ok();
        chown(&file, Some(0), None).unwrap();
    } else {
        not_run("a file of settings of another user, without the right to give files away");
    }
    // The folder lies beside the file.
    run(&["cleanup"]).ok().says("archived 3 in 1 file");
    let rows = rows(&project.path().join("archive"));
    assert!(rows.len() == 3 && !rows[0].contains_key("ip_address"));
    fs::write(&file, "[cleanup]\narchive-command = \"cp %x\"\n").unwrap();
    run(&["cleanup"]).exits(2).says("cleanup.archive-command has a %");
}

#[test]
fn duckdb_and_pyarrow_read_the_folder() {
    let Some(python) = python("DuckDB and pyarrow on the archive") else {
        return;
    };
    let (db, mut client) = db();
    seed_every_kind(&mut client);
    seed(&mut client, 3_000, 1.0);
    let (_parent, dir) = folder();
    db.sessctl(&archive(&dir, &[])).ok();
    let run = Run::of(
        clean(python.to_str().unwrap())
            .args(["-c", include_str!("fixtures/read_archive.py")])
            .arg(&dir),
    );
    let read = run.ok().json();
    for reader in ["duckdb", "pyarrow"] {
        let read = &read[reader];
        assert_eq!(read["rows"], 3_005, "{reader}: {read}");
        assert_eq!(
            read["usual"]["ended_at"], "2026-01-31 23:59:59.999999+00:00",
            "{reader}"
        );
        assert_eq!(read["usual"]["ended_month"], "2026-01", "{reader}");
        assert_eq!(read["usual"]["user_agent"], "Mozilla \"5.0\" \\ \t 😀", "{reader}");
        assert_eq!(read["usual"]["total_duration_seconds"], 3600, "{reader}");
        assert_eq!(read["nulls"]["last_heartbeat_at"], Value::Null, "{reader}");
        assert_eq!(read["infinite"]["created_at"], Value::Null, "{reader}");
        assert_eq!(read["of_year_one"], "0001-01-01 00:00:01+00:00", "{reader}");
    }
}

#[test]
fn without_addresses_three_columns_stay_out() {
    let (db, mut client) = db();
    seed(&mut client, 3, 1.0);
    let (_parent, dir) = folder();
    db.sessctl(&archive(&dir, &["--archive-without-addresses"])).ok();
    let rows = rows(&dir);
    assert_eq!(rows.len(), 3);
    for column in ["ip_address", "user_agent", "location_info"] {
        assert!(!rows[0].contains_key(column), "{column}");
    }
    assert!(rows[0].contains_key("device_info"));
    for part in parts(&dir) {
        let bytes = fs::read(part).unwrap();
        assert!(!bytes.windows(11).any(|window| window == b"10.11.12.13"));
    }
}

/// A command for parts that says that it has begun, and waits until it may go on.
struct Gate {
    folder: TempDir,
}

impl Gate {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn command(&self) -> String {
        let folder = self.folder.path().display();
        format!("touch {folder}/begun; while ! test -e {folder}/open; do sleep 0.02; done; test -s %p")
    }

    fn wait_to_begin(&self) {
        let begun = self.folder.path().join("begun");
        wait_until("the command begins", || begun.exists());
    }

    fn open(&self) {
        fs::write(self.folder.path().join("open"), "").unwrap();
    }
}

#[test]
fn no_transaction_is_open_while_the_command_runs_and_a_row_that_changes_meanwhile_is_not_deleted_in_its_old_version() {
    let (db, mut client) = db();
    seed(&mut client, 10, 1.0);
    let (_parent, dir) = folder();
    let gate = Gate::new();
    let running = Running::start(db.command(&archive(&dir, &["--archive-command", &gate.command()])));
    gate.wait_to_begin();
    let open = format!(
        "select count(*) from pg_stat_activity where datname = '{}' and application_name like 'sessctl/%' and xact_start is not null",
        db.name
    );
    assert_eq!(number(&mut db.admin(), &open), 0);
    client
        .batch_execute(
            "update public.user_sessions set device_info = '{\"changed\": 1}' where session_id = 's1';
             update public.user_sessions set status = 'active' where session_id = 's2'",
        )
        .unwrap();
    gate.open();
    running.end().ok().says("deleted 9 sessions").says("archived 11 in");
    let left = client
        .query("select session_id from public.user_sessions", &[])
        .unwrap();
    assert_eq!(
        left.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(),
        ["s2"]
    );
    let versions: Vec<Option<String>> = rows(&dir)
        .iter()
        .filter(|row| text(row, "session_id").unwrap() == "s1")
        .map(|row| text(row, "device_info"))
        .collect();
    assert_eq!(versions.len(), 2);
    assert!(versions.contains(&Some("{\"changed\": 1}".into())), "{versions:?}");
}

#[test]
fn a_row_that_changed_and_is_in_its_old_place_again_is_not_deleted_unarchived() {
    let (db, mut client) = db();
    seed(&mut client, 1, 1.0);
    let (_parent, dir) = folder();
    let gate = Gate::new();
    let running = Running::start(db.command(&archive(&dir, &["--archive-command", &gate.command()])));
    gate.wait_to_begin();
    let mut place = || -> (String, String) {
        let row = client
            .query_one("select ctid::text, user_agent from public.user_sessions", &[])
            .unwrap();
        (row.get(0), row.get(1))
    };
    let (first, archived) = place();
    wait_until("the row is in its place again", || {
        // A new version that an index must know, in the room that VACUUM made.
        let mut client = db.client();
        for sql in [
            "update public.user_sessions set ended_at = ended_at - interval '1 second', user_agent = user_agent || ' changed'",
            "vacuum public.user_sessions",
        ] {
            client.batch_execute(sql).unwrap();
        }
        place().0 == first
    });
    let (_, changed) = place();
    assert_ne!(changed, archived);
    gate.open();
    running.end().ok().says("deleted 1 session");
    let agents: HashSet<String> = rows(&dir).iter().filter_map(|row| text(row, "user_agent")).collect();
    assert_eq!(agents, HashSet::from([archived, changed]));
}

#[test]
fn a_command_that_fails_keeps_the_sessions_of_its_part_and_those_stored_before_go() {
    let (db, mut client) = db();
    seed(&mut client, 200, 24.0);
    let (_parent, dir) = folder();
    let store = tempfile::tempdir().unwrap();
    let count = format!(
        "cp %p {}/ && test $(ls {} | wc -l) -lt 3 || {{ printf 'no \\033[2Jroom\\n::stop-commands::x\\n' >&2; exit 7; }}",
        store.path().display(),
        store.path().display()
    );
    let run = db.sessctl(&archive(&dir, &["--archive-command", &count])).exits(3);
    assert!(run.stdout.is_empty());
    let run = run
        .says("archive-command failed (exit status: 7) for ended_month=")
        .says("archive-command: no \\x1b[2Jroom")
        .says("hint: its sessions are all in the table")
        .says("and stay so");
    assert!(!run.stderr.contains('\u{1b}') && !run.stderr.lines().any(|line| line.starts_with("::")));
    // The two that were stored stay, and their sessions are gone.
    assert_eq!(parts(&dir).len(), 2);
    let archived = archived(&dir, &mut HashMap::new());
    assert!(!archived.is_empty() && sessions(&mut client) == 200 - archived.len() as i64);
    assert!(ids(&mut client).is_disjoint(&archived));
    assert!(others(&dir).is_empty());
    db.sessctl(&archive(&dir, &["--archive-command", "test -s %p"])).ok();
    assert_eq!(sessions(&mut client), 0);
}

#[test]
fn a_command_that_does_not_end_is_killed_by_a_signal_and_at_the_end_of_the_time() {
    for (signal, code) in [(true, 130), (false, 0)] {
        let (db, mut client) = db();
        seed(&mut client, 10, 1.0);
        let (_parent, dir) = folder();
        let pids = tempfile::tempdir().unwrap();
        let file = pids.path().join("pid");
        let command = format!(
            "sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; : %p; trap '' TERM; wait",
            file.display()
        );
        let mut arguments = vec!["--archive-command", command.as_str()];
        if !signal {
            arguments.extend(["--max-runtime", "1s"]);
        }
        let running = Running::start(db.command(&archive(&dir, &arguments)));
        wait_until("the command runs", || file.exists());
        if signal {
            running.signal("-TERM");
        }
        let run = running.end_within(Duration::from_secs(20)).exits(code);
        let pid = fs::read_to_string(&file).unwrap();
        let alive = Run::of(clean("kill").args(["-0", pid.trim()])).code == 0;
        assert!(!alive, "the command is still running");
        assert_eq!(sessions(&mut client), 10);
        assert!(parts(&dir).is_empty() && others(&dir).is_empty(), "{run:?}");
    }
}

#[test]
fn a_command_that_can_not_be_understood_is_a_wrong_flag() {
    let (db, _client) = db();
    let (_parent, dir) = folder();
    for command in ["true", "cp %x", "cp %p %"] {
        db.sessctl(&archive(&dir, &["--archive-command", command])).exits(2);
    }
    db.sessctl(&["cleanup", "--archive-command", "cp %p x"])
        .exits(2)
        .says("--archive names its folder");
    let odd = dir.parent().unwrap().join("a;b");
    db.sessctl(&archive(&odd, &["--archive-command", "cp %p x"]))
        .exits(2)
        .says("a shell does not take");
    db.sessctl(&archive(&odd, &[])).ok();
}

/// Every way into a deletion, by SQL.
const WAYS: [&str; 7] = [
    "call sessctl.run_cleanup(90)",
    "select public.cleanup_old_sessions(90)",
    "select sessctl.cleanup(90)",
    "select sessctl.cleanup(90, 1)",
    "select sessctl.cleanup_batch(now() - interval '90 days', 10)",
    "select sessctl.cleanup_step(gen_random_uuid(), 'cli', 0, now() - interval '90 days', 90, 10, null)",
    "select sessctl.cleanup_delete(now(), '-infinity', 'infinity', null, null, null)",
];

#[test]
fn once_archived_nothing_is_deleted_without_an_archive_by_whichever_way() {
    let (db, mut client) = db();
    let (_parent, dir) = folder();
    // It need not have had anything to do, and neither has what is refused.
    db.sessctl(&archive(&dir, &[])).ok();
    for rows in [0, 10] {
        seed(&mut client, rows, 1.0);
        for way in WAYS {
            let error = client.batch_execute(way).unwrap_err();
            let error = error.as_db_error().unwrap().message();
            assert!(error.contains("requires an archive"), "{way}: {error}");
            assert_eq!(sessions(&mut client), i64::from(rows), "{way}");
        }
        db.sessctl(&["cleanup"]).exits(3);
    }
    let mut api = db.api("service_role", None);
    let refused = api.batch_execute("select public.cleanup_old_sessions(90)").unwrap_err();
    assert!(
        refused.as_db_error().unwrap().message().contains("requires an archive"),
        "{refused:?}"
    );
    db.sessctl(&["cleanup"])
        .exits(3)
        .says("this database requires an archive")
        .says("hint: Run sessctl cleanup --archive DIR");
    db.sessctl(&["cleanup", "--dry-run"]).ok().says("would delete 10");
    db.sessctl(&["cleanup", "--dry-run", "--no-archive-required"]).ok();
    db.sessctl(&["cleanup"]).exits(3);
    assert_eq!(sessions(&mut client), 10);
    db.sessctl(&["status"]).ok().says("cleanup requires an archive");
    // What ends sessions is not concerned.
    db.sessctl(&["end-inactive"]).ok();
    db.sessctl(&["cleanup", "--no-archive-required"])
        .ok()
        .says("deleted 10 sessions");
    for way in WAYS {
        client.batch_execute(way).unwrap();
    }
}

#[test]
fn a_dry_run_of_an_archive_writes_nothing_and_says_about_what_it_would() {
    let (db, mut client) = db();
    seed(&mut client, 2_000, 1.0);
    let (_parent, dir) = folder();
    let run = db
        .sessctl(&archive(&dir, &["--dry-run", "--format", "json"]))
        .ok()
        .json();
    assert!(!dir.exists());
    assert_eq!(sessions(&mut client), 2_000);
    assert_eq!(
        number(&mut client, "select count(*) from sessctl.job where archive_required"),
        0
    );
    db.sessctl(&archive(&dir, &["--dry-run"]))
        .ok()
        .says("would write about");
    let real = db.sessctl(&archive(&dir, &["--format", "json"])).ok().json();
    assert_eq!(run["archive"]["files"], real["archive"]["files"]);
    let [about, exactly] = [&run, &real].map(|run| run["archive"]["bytes"].as_f64().unwrap());
    assert!((0.5..2.0).contains(&(about / exactly)), "{about} {exactly}");
    let size: u64 = parts(&dir).iter().map(|part| fs::metadata(part).unwrap().len()).sum();
    assert_eq!(real["archive"]["bytes"], size);
}

#[test]
fn a_session_that_another_table_keeps_is_not_archived_and_one_that_a_trigger_keeps_is_in_no_part() {
    let (db, mut client) = db();
    seed(&mut client, 20, 1.0);
    client
        .batch_execute(
            "create table public.events (session uuid references public.user_sessions (id));
             insert into public.events select id from public.user_sessions where session_id in ('s1', 's2')",
        )
        .unwrap();
    let (_parent, dir) = folder();
    db.sessctl(&archive(&dir, &["--keep-referenced"]))
        .ok()
        .says("deleted 18");
    assert_eq!(rows(&dir).len(), 18);
    client
        .batch_execute(
            "drop table public.events;
             create function public.keep() returns trigger language plpgsql as 'begin return null; end';
             create trigger keep before delete on public.user_sessions for each row execute function public.keep()",
        )
        .unwrap();
    db.sessctl(&archive(&dir, &[])).exits(3).says("trigger keep");
    assert_eq!((rows(&dir).len(), sessions(&mut client)), (18, 2));
    assert!(others(&dir).is_empty());
}

#[test]
fn a_session_that_fails_is_left_and_the_others_of_its_part_go() {
    let (db, mut client) = db();
    seed(&mut client, 300, 1.0);
    client
        .batch_execute(
            "create function public.fail() returns trigger language plpgsql as
               'begin if old.session_id in (''s7'', ''s200'') then raise exception ''no''; end if; return old; end';
             create trigger fail before delete on public.user_sessions for each row execute function public.fail()",
        )
        .unwrap();
    let (_parent, dir) = folder();
    let run = db.sessctl(&archive(&dir, &["--format", "json"])).exits(3);
    assert_eq!(
        (&run.json()["deleted"], &run.json()["failed"]),
        (&298.into(), &2.into())
    );
    let left = ids(&mut client);
    assert_eq!(left.len(), 2);
    assert!(
        run.stderr.contains("function fail: no") || run.stderr.contains("function public.fail"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_lost_connection_does_not_write_the_parts_again() {
    let (db, mut client) = db();
    seed(&mut client, 3_000, 0.1);
    let (_parent, dir) = folder();
    let gate = Gate::new();
    let running = Running::start(db.command(&archive(&dir, &["--archive-command", &gate.command()])));
    gate.wait_to_begin();
    db.admin()
        .batch_execute(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}' and application_name like 'sessctl/%'",
            db.name
        ))
        .unwrap();
    gate.open();
    running
        .end()
        .ok()
        .says("deleted 3,000 sessions")
        .says("archived 3,000 in");
    assert_eq!(rows(&dir).len(), 3_000);
}

#[test]
fn sessions_that_ended_at_one_moment_and_unsettled_ones_are_archived() {
    let (db, mut client) = db();
    client
        .batch_execute(&format!(
            "insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
             select '{USER}', 's' || n, 'web', 'timeout', now() - interval '101 days', date_trunc('day', now() - interval '100 days')
             from generate_series(1, 20000) as n;
             insert into public.user_sessions (user_id, session_id, platform, status, started_at, last_activity_at, last_heartbeat_at, created_at, updated_at)
             select '{USER}', 'u' || n, 'web', 'ended', o.at, o.at, o.at, o.at, o.at
             from generate_series(1, 50) as n, (select now() - interval '200 days') as o (at);
             analyze public.user_sessions"
        ))
        .unwrap();
    let (_parent, dir) = folder();
    db.sessctl(&archive(&dir, &[]))
        .ok()
        .says("deleted 20,050")
        .says("archived 20,050 in 2 files");
    assert_eq!(archived(&dir, &mut HashMap::new()).len(), 20_050);
}

#[test]
fn a_session_larger_than_other_answers_is_archived() {
    let (db, mut client) = db();
    seed(&mut client, 5, 1.0);
    client
        .batch_execute(
            "update public.user_sessions set user_agent = repeat('0123456789', 500000) where session_id = 's3'",
        )
        .unwrap();
    let (_parent, dir) = folder();
    db.sessctl(&archive(&dir, &[])).ok().says("deleted 5 sessions");
    let sizes: Vec<usize> = rows(&dir)
        .iter()
        .map(|row| text(row, "user_agent").unwrap().len())
        .collect();
    assert!(sizes.contains(&5_000_000), "{sizes:?}");
}

#[test]
fn a_folder_is_made_but_none_above_it_and_what_is_no_folder_is_refused() {
    let (db, mut client) = db();
    seed(&mut client, 3, 1.0);
    let (parent, dir) = folder();
    let refused = |path: &Path, says: &str| {
        db.sessctl(&archive(path, &[])).exits(3).says(says);
    };
    refused(&dir.join("below"), "the folder above it is missing");
    let file = parent.path().join("file");
    fs::write(&file, "mine").unwrap();
    refused(&file, "can't use folder");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(
        number(&mut client, "select count(*) from sessctl.job where archive_required"),
        0
    );
    symlink(parent.path().join("nowhere"), parent.path().join("dangling")).unwrap();
    refused(&parent.path().join("dangling"), "can't use folder");
    assert_eq!(sessions(&mut client), 3);

    // A link to a folder is as good as the folder; one in the place of a month is not.
    fs::create_dir(&dir).unwrap();
    let link = parent.path().join("link");
    symlink(&dir, &link).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let month: String = client
        .query_one(
            "select to_char(min(ended_at) at time zone 'UTC', 'YYYY-MM') from public.user_sessions",
            &[],
        )
        .unwrap()
        .get(0);
    let planted = dir.join(format!("ended_month={month}"));
    symlink(elsewhere.path(), &planted).unwrap();
    refused(&link, "is a link");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    assert!(others(&dir).is_empty());
    fs::remove_file(planted).unwrap();
    db.sessctl(&archive(&link, &[])).ok().says("deleted 3 sessions");
    assert_eq!(rows(&dir).len(), 3);
}

#[test]
fn a_folder_that_this_user_may_not_write_to_is_refused() {
    let (db, mut client) = db();
    seed(&mut client, 3, 1.0);
    let (_parent, dir) = folder();
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, PermissionsExt::from_mode(0o555)).unwrap();
    if fs::write(dir.join("probe"), "").is_ok() {
        // The superuser of the system may write anywhere but where nobody may.
        let run = db.sessctl(&archive(Path::new("/proc/sys"), &[])).exits(3);
        assert!(run.stderr.contains("can't use folder"), "{}", run.stderr);
        not_run("a folder without the right to write, as root");
    } else {
        db.sessctl(&archive(&dir, &[]))
            .exits(3)
            .says("can't use folder")
            .says("hint:");
    }
    assert_eq!(sessions(&mut client), 3);
}

#[test]
fn a_disk_that_is_full_keeps_everything() {
    let (db, mut client) = db();
    seed(&mut client, 5_000, 0.01);
    let (_parent, dir) = folder();
    let program = env!("CARGO_BIN_EXE_sessctl");
    let mut command = clean("sh");
    command
        .env("DATABASE_URL", db.url())
        .args(["-c", "ulimit -f 40; exec \"$0\" \"$@\"", program]);
    let run = Run::of(command.args(archive(&dir, &[]))).exits(3);
    run.says("archive: can't write")
        .says("what is not archived is not deleted");
    assert_eq!(sessions(&mut client), 5_000);
    assert!(parts(&dir).is_empty() && others(&dir).is_empty());
    db.sessctl(&archive(&dir, &[])).ok().says("deleted 5,000");
}

#[test]
fn two_runs_at_once_lose_nothing() {
    let (db, mut client) = db();
    seed(&mut client, 6_000, 0.5);
    let before = ids(&mut client);
    let (_parent, dir) = folder();
    let runs = [(); 2].map(|()| Running::start(db.command(&archive(&dir, &["--batch-size", "200"]))));
    for run in runs {
        run.end().ok();
    }
    a_minute_later(&mut client);
    db.sessctl(&archive(&dir, &[])).ok();
    assert_eq!(sessions(&mut client), 0);
    assert_eq!(archived(&dir, &mut HashMap::new()), before);
    assert!(others(&dir).is_empty());
}

/// How often a run is killed. `make kill-archive` has more.
fn rounds() -> u32 {
    std::env::var("SESSCTL_KILL_ROUNDS").map_or(10, |rounds| rounds.parse().unwrap())
}

#[test]
fn whenever_a_run_is_killed_every_deleted_session_is_in_the_archive() {
    let (db, mut client) = db();
    let (_parent, dir) = folder();
    let (mut before, mut known, mut killed) = (HashSet::new(), HashMap::new(), 0);
    for round in 0..rounds() {
        if sessions(&mut client) < 2_000 {
            // Those that are left give way to the names of the new ones.
            client
                .batch_execute("update public.user_sessions set session_id = id::text")
                .unwrap();
            seed(&mut client, 8_000, 0.2);
            before.extend(ids(&mut client));
        }
        let running = Running::start(db.command(&archive(
            &dir,
            &["--batch-size", "300", "--archive-command", "test -s %p"],
        )));
        thread::sleep(Duration::from_millis(fastrand::u64(10..1_500)));
        running.signal("-KILL");
        killed += u32::from(running.end().code == -1);
        // What the killed run had sent may still hold rows.
        wait_until("the killed run's backend ends", || {
            let others = "select count(*) from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'";
            number(&mut client, others) == 0
        });
        a_minute_later(&mut client);
        let (left, archived) = (ids(&mut client), archived(&dir, &mut known));
        let lost = before.difference(&left).filter(|id| !archived.contains(*id)).count();
        assert_eq!(lost, 0, "round {round}: deleted, and not in the archive");
    }
    db.sessctl(&archive(&dir, &[])).ok();
    assert_eq!(archived(&dir, &mut known), before);
    // What the killed runs left under temporary names is gone.
    assert!(others(&dir).is_empty(), "{:?}", others(&dir));
    assert!(killed > 0, "no run was killed before its end");
}
