//! What `sessctl verify`, migra and a diff of `pg_dump --schema-only` say of each change in tests/drift, as a table:
//! `cargo bench --bench drift`, or of other files: `cargo bench --bench drift -- FILE…` (harmless in the name or not).
//!
//! migra is the program that the variable MIGRA names, or the one on PATH; without it its columns stay empty.
#![allow(missing_docs, clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../tests/common/mod.rs"]
mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{BOTH_GENERATIONS, Db, server};
use sessctl::sandbox::Grants;

const MUTATIONS: &str = include_str!("../tests/drift/mutations.sql");
const HARMLESS: &str = include_str!("../tests/drift/harmless.sql");

/// Width of the column with the changes' names.
const NAME_WIDTH: usize = 52;
/// Width of each tool's column.
const TOOL_WIDTH: usize = 17;

/// What a tool says of a changed database beside an unchanged one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Differs,
    Same,
    /// The tool itself failed.
    Broke,
    NotInstalled,
}

/// Which changes a file holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mutation,
    Harmless,
}

impl Word {
    fn cell(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Differs, Kind::Mutation) => "seen",
            (Self::Same, Kind::Mutation) => "MISSED",
            (Self::Differs, Kind::Harmless) => "FALSE ALARM",
            (Self::Same, Kind::Harmless) => "quiet",
            (Self::Broke, _) => "BROKE",
            (Self::NotInstalled, _) => "not installed",
        }
    }
}

/// A migrated database as it should be.
struct Clean {
    db: Db,
    dump: Option<Result<String, String>>,
}

impl Clean {
    fn new(grants: Grants) -> Self {
        let db = Db::migrated(grants);
        let dump = dump(&db);
        Self { db, dump }
    }
}

type Comparison = dyn Fn(&Db, &Clean) -> Word;

/// A way to compare a changed database with a clean one.
struct Tool {
    name: &'static str,
    run: Box<Comparison>,
    /// Of each change: its kind, the word, how long it took.
    results: Vec<(Kind, Word, Duration)>,
}

impl Tool {
    fn new(name: &'static str, run: impl Fn(&Db, &Clean) -> Word + 'static) -> Self {
        Self {
            name,
            run: Box::new(run),
            results: Vec::new(),
        }
    }

    fn judge(&mut self, kind: Kind, changed: &Db, clean: &Clean) -> Word {
        let start = Instant::now();
        let word = (self.run)(changed, clean);
        self.results.push((kind, word, start.elapsed()));
        word
    }

    /// How many changes of a kind differ for it, of how many.
    fn count(&self, kind: Kind) -> String {
        let of_kind: Vec<Word> = self
            .results
            .iter()
            .filter(|(k, ..)| *k == kind)
            .map(|(_, word, _)| *word)
            .collect();
        if of_kind.contains(&Word::NotInstalled) {
            return "not installed".into();
        }
        format!(
            "{} of {}",
            of_kind.iter().filter(|word| **word == Word::Differs).count(),
            of_kind.len()
        )
    }

    fn median(&self) -> String {
        let times = self.results.iter().filter(|(_, word, _)| *word != Word::NotInstalled);
        median(times.map(|(.., time)| time.as_secs_f64() * 1000.0).collect())
    }
}

fn median(mut milliseconds: Vec<f64>) -> String {
    milliseconds.sort_by(f64::total_cmp);
    milliseconds
        .get(milliseconds.len() / 2)
        .map_or_else(|| "-".into(), |time| format!("{time:.1} ms"))
}

fn verify(changed: &Db) -> Word {
    match changed.sessctl(&["verify"]).code {
        0 => Word::Same,
        1 => Word::Differs,
        _ => Word::Broke,
    }
}

/// migra reads both sides at each run, and prints the SQL that would lead from one to the other.
fn migra(program: Option<&str>, options: &[&str], changed: &Db, clean: &Clean) -> Word {
    let Some(program) = program else {
        return Word::NotInstalled;
    };
    let url = |db: &Db| {
        format!(
            "postgresql://supabase_admin:{}@/{}?host={}&port={}",
            server().password(),
            db.name,
            server().dir().display(),
            server().port()
        )
    };
    let mut command = Command::new(program);
    command.args(options).args([url(changed), url(&clean.db)]);
    match command.stdin(Stdio::null()).stderr(Stdio::null()).output() {
        Ok(out) if out.status.code() == Some(0) => Word::Same,
        Ok(out) if out.status.code() == Some(2) => Word::Differs,
        Ok(_) => Word::Broke,
        Err(_) => Word::NotInstalled,
    }
}

/// Nothing where there is no pg_dump. Only the changed side is dumped within the time that counts: a CI keeps the other
/// one in a file.
fn dump(db: &Db) -> Option<Result<String, String>> {
    // Some packages put the server's programs and the clients' in different folders.
    let beside = server().bindir().join("pg_dump");
    let program = if beside.is_file() { beside } else { "pg_dump".into() };
    let out = Command::new(program)
        .args([
            "--schema-only",
            "--schema=public",
            "--schema=sessctl",
            "-d",
            &server().admin(&db.name),
        ])
        .output()
        .ok()?;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Some(if out.status.success() {
        Ok(text(out.stdout))
    } else {
        Err(text(out.stderr))
    })
}

/// Without the lines whose key is another one at each run.
fn without_keys(dump: &str) -> String {
    let keyed = |line: &&str| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict ");
    dump.lines().filter(keyed).collect::<Vec<_>>().join("\n")
}

fn pg_dump(tidy: fn(&str) -> String, changed: &Db, clean: &Clean) -> Word {
    match (dump(changed), &clean.dump) {
        (Some(Ok(after)), Some(Ok(before))) if tidy(&after) == tidy(before) => Word::Same,
        (Some(Ok(_)), Some(Ok(_))) => Word::Differs,
        (None, _) => Word::NotInstalled,
        _ => Word::Broke,
    }
}

/// The server time of one verify in milliseconds: the sum of the durations that the server itself logs for this
/// database, of parse, bind and execute alike.
fn server_time(db: &Db) -> f64 {
    let sql = format!("alter database {} set log_min_duration_statement = 0", db.name);
    common::admin("postgres").batch_execute(&sql).unwrap();
    let log = server().dir().join("server.log");
    let before = fs::read(&log).unwrap().len();
    verify(db);
    let after = fs::read(&log).unwrap();
    String::from_utf8_lossy(&after[before..])
        .lines()
        .filter_map(|line| {
            line.split_once("duration: ")?
                .1
                .split_once(" ms")?
                .0
                .parse::<f64>()
                .ok()
        })
        .sum()
}

/// The round trips of one verify: log-in and all, and how many of them came after the log-in. A relay between the two
/// counts how often the program speaks after the server has.
fn round_trips(db: &Db) -> (u32, u32) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = db
        .url()
        .replace(&format!(":{}/", server().port()), &format!(":{port}/"));
    let relay = thread::spawn(move || {
        let client = listener.accept().unwrap().0;
        let upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, server().port())).unwrap();
        let server_spoke = Arc::new(AtomicBool::new(true));
        let logged_in = Arc::new(AtomicBool::new(false));
        let (spoke, ready) = (Arc::clone(&server_spoke), Arc::clone(&logged_in));
        let back = copy(
            upstream.try_clone().unwrap(),
            client.try_clone().unwrap(),
            move |bytes| {
                spoke.store(true, Ordering::SeqCst);
                // ReadyForQuery, idle: what ends the log-in is the first one.
                if bytes.ends_with(b"Z\0\0\0\x05I") {
                    ready.store(true, Ordering::SeqCst);
                }
            },
        );
        let trips = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
        let count = Arc::clone(&trips);
        let forth = copy(client, upstream, move |bytes| {
            // Terminate is not answered.
            if server_spoke.swap(false, Ordering::SeqCst) && bytes != b"X\0\0\0\x04" {
                count.0.fetch_add(1, Ordering::SeqCst);
                count
                    .1
                    .fetch_add(u32::from(logged_in.load(Ordering::SeqCst)), Ordering::SeqCst);
            }
        });
        forth.join().unwrap();
        back.join().unwrap();
        (trips.0.load(Ordering::SeqCst), trips.1.load(Ordering::SeqCst))
    });
    let mut command = common::sessctl();
    common::Run::of(command.env("DATABASE_URL", url).arg("verify")).ok();
    relay.join().unwrap()
}

/// Copies one direction until it ends, showing each piece to `watch` before it goes on.
fn copy(mut from: TcpStream, mut to: TcpStream, watch: impl Fn(&[u8]) + Send + 'static) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            watch(&buffer[..length]);
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        // The other side may be gone already.
        let _ = to.shutdown(Shutdown::Write);
    })
}

fn find_migra() -> Option<String> {
    let named = std::env::var("MIGRA").ok();
    named.or_else(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found: Option<PathBuf> = std::env::split_paths(&path)
            .map(|dir| dir.join("migra"))
            .find(|file| file.is_file());
        found.map(|file| file.display().to_string())
    })
}

fn print_row(name: &str, cells: impl Iterator<Item = String>) {
    let cells: String = cells.map(|cell| format!("{cell:TOOL_WIDTH$}")).collect();
    println!("{}", format!("{name:NAME_WIDTH$}{cells}").trim_end());
}

fn main() {
    if std::env::args().any(|argument| argument == "--help") {
        println!(
            "make drift-table ARGS='[FILE…]': what verify, migra and pg_dump say of each change in tests/drift, or in these files."
        );
        return;
    }
    let mut files = vec![
        (Kind::Mutation, MUTATIONS.to_owned()),
        (Kind::Harmless, HARMLESS.to_owned()),
    ];
    // cargo itself passes --bench.
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    if !named.is_empty() {
        let kind = |file: &str| {
            if file.contains("harmless") {
                Kind::Harmless
            } else {
                Kind::Mutation
            }
        };
        files = named
            .iter()
            .map(|file| (kind(file), fs::read_to_string(file).unwrap()))
            .collect();
    }

    let clean = BOTH_GENERATIONS.map(Clean::new);
    let program = find_migra();
    let with_migra = |options: &'static [&str]| {
        let program = program.clone();
        move |changed: &Db, clean: &Clean| migra(program.as_deref(), options, changed, clean)
    };
    let mut tools = [
        Tool::new("verify", |changed, _| verify(changed)),
        Tool::new("migra", with_migra(&["--unsafe"])),
        Tool::new("migra +rights", with_migra(&["--unsafe", "--with-privileges"])),
        Tool::new("pg_dump", |changed, clean| pg_dump(str::to_owned, changed, clean)),
        Tool::new("pg_dump filtered", |changed, clean| {
            pg_dump(without_keys, changed, clean)
        }),
    ];

    let version: String = common::admin("postgres")
        .query_one("show server_version", &[])
        .unwrap()
        .get(0);
    print_row(
        &format!("PostgreSQL {version}"),
        tools.iter().map(|tool| tool.name.to_owned()),
    );
    let mut times = Vec::new();
    for (kind, text) in &files {
        for (index, change) in text.split("-- name: ").skip(1).enumerate() {
            let (name, sql) = change.split_once('\n').unwrap();
            let generation = index % BOTH_GENERATIONS.len();
            let changed = Db::migrated(BOTH_GENERATIONS[generation]);
            changed
                .admin()
                .batch_execute(sql)
                .unwrap_or_else(|error| panic!("{name}: {error:?}"));
            let words: Vec<Word> = tools
                .iter_mut()
                .map(|tool| tool.judge(*kind, &changed, &clean[generation]))
                .collect();
            print_row(name, words.iter().map(|word| word.cell(*kind).to_owned()));
            times.push(server_time(&changed));
        }
    }

    println!();
    print_row("mutations seen", tools.iter().map(|tool| tool.count(Kind::Mutation)));
    print_row(
        "false alarms at harmless changes",
        tools.iter().map(|tool| tool.count(Kind::Harmless)),
    );
    print_row("median time of a run", tools.iter().map(Tool::median));
    let longest = times.iter().copied().fold(0.0, f64::max);
    let (all, after_log_in) = round_trips(&clean[0].db);
    println!(
        "verify's time in the server (as the server logs it): median {}, longest {longest:.1} ms",
        median(times)
    );
    println!("verify's round trips: {all}, {after_log_in} of them after the log-in");
    println!("pg_dump prints a random key at each run (\\restrict), so that its plain diff is never empty");
    if program.is_none() {
        println!(
            "migra: python3 -m venv VENV && VENV/bin/pip install migra 'sqlalchemy<2.1' psycopg2-binary 'setuptools<81', then MIGRA=VENV/bin/migra"
        );
    }
}
