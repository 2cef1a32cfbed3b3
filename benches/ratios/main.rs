//! Ratios against the floor, the two sides in turn in one run:
//! `cargo bench --bench ratios -- [--rows 2200000] [--runs 3] [--only NAME,NAME] [--fsync on]`.
//!
//! Both sides of every pair start from a copy of one template database, so the state is the same; a ratio is the median
//! of the pairs' ratios. No ratio is asserted: times belong to the machine and its other guests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::cast_precision_loss
)]

#[path = "../../tests/common/mod.rs"]
#[allow(dead_code)]
mod common;
mod life;
#[path = "../peak.rs"]
mod peak;

use std::cell::{Cell, RefCell};
use std::fs;
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use common::heartbeats::Chance;
use common::{ORIGINAL_SCRIPT, Run, block_on, number, sessctl};
use peak::peak_memory;
use postgres::{Client, NoTls};
use sessctl::sandbox::{Grants, Options, Sandbox};

/// On top of `fsync=on`: a server that keeps what it is told, as the real one does.
const SETTINGS: [&str; 4] = [
    "shared_buffers=512MB",
    "full_page_writes=on",
    "log_line_prefix=%n %p %a|",
    "log_checkpoints=off",
];

/// Gentle maintenance, where the heartbeats come first.
const THROTTLE: [&str; 4] = ["--batch-size", "1000", "--pause", "50ms"];

/// How often a process that changes nothing runs.
const QUICK_RUNS: usize = 21;

/// What a template database holds. Numbers of sessions are in thousands, at 2.2 million rows.
struct Data {
    name: &'static str,
    original: bool,
    /// The indexes that it leaves out, separated by commas.
    without: &'static str,
    order: &'static str,
    ended: u64,
    active: u64,
    stale: u64,
}

const fn data(name: &'static str, order: &'static str, ended: u64, active: u64, stale: u64) -> Data {
    Data {
        name,
        original: false,
        without: "",
        order,
        ended,
        active,
        stale,
    }
}

const CORRELATED: Data = data("correlated", "time", 2000, 200, 100);
const SHUFFLED: Data = data("shuffled", "shuffled", 2000, 200, 100);
const ONE_MOMENT: Data = data("one_moment", "moment", 1000, 200, 100);
const ONE_MOMENT_TENTH: Data = data("one_moment_tenth", "moment", 100, 200, 100);
const CROWD: Data = data("crowd", "time", 1, 1000, 1);
const FRESH: Data = data("fresh", "time", 1, 100, 0);
const FEW: Data = data("few", "time", 100, 1, 0);
const ACTIVE: Data = data("active", "time", 1, 200, 0);
const CROWDED: Data = data("crowded", "time", 1, 2000, 0);
const ORIGINAL: Data = original("original", &CORRELATED);
const ORIGINAL_ACTIVE: Data = original("original_active", &ACTIVE);
const ORIGINAL_CROWDED: Data = original("original_crowded", &CROWDED);
const MINIMAL: Data = minimal("minimal", &CORRELATED);

/// The same sessions in the table of the original script.
const fn original(name: &'static str, like: &Data) -> Data {
    Data {
        name,
        original: true,
        ..data("", like.order, like.ended, like.active, like.stale)
    }
}

/// The same sessions without the indexes that only reads use.
const fn minimal(name: &'static str, like: &Data) -> Data {
    Data {
        name,
        without: "idx_user_sessions_platform,idx_user_sessions_status,idx_user_sessions_started_at,idx_user_sessions_last_activity",
        ..data("", like.order, like.ended, like.active, like.stale)
    }
}

/// Work in batches, against the same in one statement.
struct Batches {
    name: &'static str,
    what: &'static str,
    data: &'static Data,
    sessctl: &'static [&'static str],
    floor: &'static str,
    goal: f64,
    /// The longest transaction, as one part in so many of the floor.
    longest: Option<f64>,
    /// A snapshot held open elsewhere keeps dead rows from being pruned.
    snapshot: bool,
    /// How often the pair runs for each of `--runs`: what is short swings more.
    times: usize,
}

const CLEANUP: Batches = Batches {
    name: "cleanup-correlated",
    what: "cleanup of 1 M of 2.2 M, correlated",
    data: &CORRELATED,
    sessctl: &["cleanup", "--days", "90"],
    floor: "delete from public.user_sessions
        where ended_at < now() - interval '2160 hours' and status not in ('active', 'idle')",
    goal: 1.1,
    longest: Some(20.0),
    snapshot: false,
    times: 1,
};

const DAILY: Batches = Batches {
    name: "daily-correlated",
    what: "daily cleanup (1 %), correlated",
    sessctl: &["cleanup", "--days", "178"],
    floor: "delete from public.user_sessions
        where ended_at < now() - interval '4272 hours' and status not in ('active', 'idle')",
    goal: 1.2,
    longest: None,
    // A shared machine has a fast and a slow pace, for seconds each: few pairs compare these.
    times: 15,
    ..CLEANUP
};

const SWEEP: Batches = Batches {
    name: "sweep-half",
    what: "sweep of 100 k of 200 k active",
    sessctl: &["end-inactive", "--minutes", "1440"],
    floor: "update sessctl.session_last_seen as s
        set status = 'timeout', end_reason = 'timeout', ended_at = now(),
            total_duration_seconds = public.calculate_session_duration(s.started_at, now())
        where s.status = 'active' and s.last_seen < now() - interval '1440 minutes'",
    goal: 1.0,
    longest: None,
    times: 3,
    ..CLEANUP
};

const BATCHES: [Batches; 11] = [
    CLEANUP,
    Batches {
        name: "cleanup-shuffled",
        what: "cleanup of 1 M of 2.2 M, shuffled",
        data: &SHUFFLED,
        goal: 1.3,
        ..CLEANUP
    },
    Batches {
        name: "cleanup-snapshot-correlated",
        what: "the same beside an old transaction, correlated",
        goal: 1.5,
        longest: None,
        snapshot: true,
        ..CLEANUP
    },
    Batches {
        name: "cleanup-snapshot-shuffled",
        what: "the same beside an old transaction, shuffled",
        data: &SHUFFLED,
        goal: 1.5,
        longest: None,
        snapshot: true,
        ..CLEANUP
    },
    DAILY,
    Batches {
        name: "daily-shuffled",
        what: "daily cleanup (1 %), shuffled",
        data: &SHUFFLED,
        times: 3,
        ..DAILY
    },
    Batches {
        name: "cleanup-one-moment",
        what: "cleanup of 1 M that ended at one moment",
        data: &ONE_MOMENT,
        goal: 1.3,
        ..CLEANUP
    },
    SWEEP,
    Batches {
        name: "sweep-sliver",
        what: "sweep of 1 k of 1 M active",
        data: &CROWD,
        goal: 1.2,
        ..SWEEP
    },
    Batches {
        name: "sweep-none",
        what: "sweep of none of 100 k",
        data: &FRESH,
        goal: 1.2,
        ..SWEEP
    },
    Batches {
        name: "anonymize",
        what: "anonymize 1 M of 2.2 M",
        sessctl: &["anonymize", "--days", "90"],
        floor: "update public.user_sessions set ip_address = null, user_agent = null, location_info = '{}'
            where ended_at < now() - interval '2160 hours' and status not in ('active', 'idle')",
        goal: 1.1,
        longest: Some(20.0),
        ..CLEANUP
    },
];

/// Whole processes that find nothing to do, against `psql -c 'select 1'`.
const IDLE: [(&str, &str, &Data, &[&str]); 4] = [
    (
        "idle-cleanup",
        "cleanup, nothing to do on 2.2 M",
        &CORRELATED,
        &["cleanup", "--days", "400"],
    ),
    (
        "idle-sweep",
        "sweep, none of 1 k active",
        &FEW,
        &["end-inactive", "--minutes", "1440"],
    ),
    (
        "idle-anonymize",
        "anonymize, nothing to do on 2.2 M",
        &CORRELATED,
        &["anonymize", "--days", "400"],
    ),
    ("idle-migrate", "migrate, nothing to do", &CORRELATED, &["migrate"]),
];

/// One line of the table.
struct Row {
    what: String,
    goal: String,
    floor: String,
    ours: String,
    result: String,
    met: bool,
}

/// The server, the options, and which templates are there.
struct Lab {
    sandbox: Sandbox,
    rows: u64,
    runs: usize,
    templates: RefCell<Vec<&'static str>>,
    copies: Cell<u32>,
}

/// A database that goes with the value.
struct Copy<'a> {
    lab: &'a Lab,
    name: String,
}

impl Drop for Copy<'_> {
    fn drop(&mut self) {
        self.lab
            .superuser("postgres", &format!("drop database {} with (force)", self.name));
    }
}

impl Copy<'_> {
    fn url(&self) -> String {
        self.lab.sandbox.url_of("postgres", &self.name)
    }

    fn client(&self) -> Client {
        Client::connect(&self.url(), NoTls).unwrap()
    }

    fn sessctl(&self, arguments: &[&str]) -> Command {
        let mut command = sessctl();
        command
            .env("DATABASE_URL", self.url())
            .args(["--format", "json"])
            .args(arguments);
        command
    }

    /// Milliseconds of a connection and one statement, and the rows it touched.
    fn statement(&self, sql: &str) -> (f64, u64) {
        let start = Instant::now();
        let rows = self.client().execute(sql, &[]).unwrap();
        (ms(start.elapsed()), rows)
    }

    /// Milliseconds of a whole process, and its result.
    fn process(&self, arguments: &[&str]) -> (f64, serde_json::Value) {
        let mut command = self.sessctl(arguments);
        let start = Instant::now();
        let run = Run::of(&mut command);
        (ms(start.elapsed()), run.ok().json())
    }

    /// What the server logs of this database's connections from now on, and how far its log has come.
    fn log_statements(&self) -> usize {
        self.lab.superuser(
            "postgres",
            &format!("alter database {} set log_min_duration_statement = 0", self.name),
        );
        self.lab.log().len()
    }
}

impl Lab {
    fn log(&self) -> String {
        fs::read_to_string(self.sandbox.dir().join("server.log")).unwrap()
    }

    fn superuser(&self, database: &str, sql: &str) {
        Client::connect(&self.sandbox.admin(database), NoTls)
            .unwrap()
            .batch_execute(sql)
            .unwrap();
    }

    fn count(&self, thousands: u64) -> u64 {
        thousands * self.rows / 2200
    }

    fn copy(&self, data: &'static Data) -> Copy<'_> {
        let mut templates = self.templates.borrow_mut();
        match templates.iter().position(|name| *name == data.name) {
            Some(at) => drop(templates.remove(at)),
            None => {
                self.make_room(&mut templates);
                self.load(data);
            }
        }
        // The one used last is dropped last.
        templates.push(data.name);
        drop(templates);
        let copy = Copy {
            lab: self,
            name: format!("copy_{}", self.copies.get()),
        };
        self.copies.set(self.copies.get() + 1);
        // Files rather than WAL, and on the disk before it returns: nothing of the copying is left to the measured side.
        let sql = format!(
            "create database {} template {} owner postgres strategy file_copy",
            copy.name, data.name
        );
        self.superuser("postgres", &sql);
        self.superuser("postgres", "checkpoint");
        copy
    }

    /// Drops the templates used longest ago, where all of them take too much of the disk.
    fn make_room(&self, templates: &mut Vec<&'static str>) {
        const LIMIT: i64 = 30_000_000_000;
        let sizes = "select sum(pg_database_size(datname))::int8 from pg_database";
        let admin = self.sandbox.admin("postgres");
        while !templates.is_empty() && number(&mut Client::connect(&admin, NoTls).unwrap(), sizes) > LIMIT {
            self.superuser(
                "postgres",
                &format!("drop database {} with (force)", templates.remove(0)),
            );
        }
    }

    fn load(&self, data: &Data) {
        let (ended, active, stale) = (self.count(data.ended), self.count(data.active), self.count(data.stale));
        eprintln!(
            "loading {}: {ended} ended, {active} active, {stale} of them stale",
            data.name
        );
        self.superuser(
            "postgres",
            &format!("create database {} template template0 owner postgres", data.name),
        );
        block_on(self.sandbox.shape(data.name, Grants::Closed)).unwrap();
        let url = self.sandbox.url_of("postgres", data.name);
        if data.original {
            Client::connect(&url, NoTls)
                .unwrap()
                .batch_execute(ORIGINAL_SCRIPT)
                .unwrap();
        } else {
            let mut migrate = sessctl();
            migrate
                .env("DATABASE_URL", url)
                .env("SESSCTL_TABLE_WITHOUT_INDEXES", data.without);
            Run::of(migrate.arg("migrate")).ok();
        }
        let settings = format!(
            "set bench.ended = {ended}; set bench.active = {active}; set bench.stale = {stale}; set bench.stored = {};",
            data.order
        );
        self.superuser(data.name, &(settings + include_str!("load.sql")));
        self.superuser(data.name, "vacuum (analyze)");
    }

    /// The clients' names of the active sessions.
    fn active(&self, data: &Data) -> Vec<String> {
        let ended = self.count(data.ended);
        (ended..ended + self.count(data.active))
            .map(|n| format!("session-{n}"))
            .collect()
    }

    /// From the first `begin` to the end of its `commit`, as the server logged them: the longest, in milliseconds.
    fn longest_transaction(&self, from: usize) -> f64 {
        let log = self.log();
        let (mut begun, mut longest) = (None, 0_f64);
        for line in log[from..].lines().filter(|line| line.contains(" sessctl/")) {
            let Some((head, tail)) = line.split_once("duration: ") else {
                continue;
            };
            let Some((took, statement)) = tail.split_once(" ms") else {
                continue;
            };
            let now = head.split(' ').next().unwrap().parse::<f64>().unwrap() * 1000.0;
            if statement.contains("begin") {
                begun = Some(now - took.parse::<f64>().unwrap());
            }
            if statement.contains("commit") {
                longest = longest.max(begun.take().map_or(0.0, |begun| now - begun));
            }
        }
        longest
    }

    fn batches(&self, case: &Batches) -> Vec<Row> {
        let changes = self.count(case.data.stale) > 0;
        // What is short on a small table is not on a large one.
        let times = (case.times * 2_200_000 / usize::try_from(self.rows).unwrap()).clamp(1, case.times);
        let runs = if changes { self.runs * times } else { QUICK_RUNS };
        let (mut floor, mut ours, mut longest, mut batches) = (vec![], vec![], vec![], vec![]);
        let kept = (!changes).then(|| self.copy(case.data));
        for _ in 0..runs {
            let fresh = kept.is_none().then(|| self.copy(case.data));
            let copy = fresh.as_ref().or(kept.as_ref()).unwrap();
            let snapshot = case.snapshot.then(|| old_transaction(copy));
            let (time, expected) = copy.statement(case.floor);
            floor.push(time);
            drop((snapshot, fresh));

            let fresh = kept.is_none().then(|| self.copy(case.data));
            let copy = fresh.as_ref().or(kept.as_ref()).unwrap();
            let snapshot = case.snapshot.then(|| old_transaction(copy));
            let log = case.longest.map(|_| copy.log_statements());
            let (time, result) = copy.process(case.sessctl);
            ours.push(time);
            longest.extend(log.map(|log| self.longest_transaction(log)));
            drop((snapshot, fresh));
            batches.push(result["batches"].as_f64().unwrap());
            let done = ["deleted", "ended", "anonymized"]
                .iter()
                .find_map(|key| result[key].as_u64());
            let done = done.unwrap();
            // Time goes on between the two sides.
            assert!(
                done.abs_diff(expected) <= 1 + expected / 100,
                "{}: {done}, not {expected}",
                case.name
            );
        }
        eprintln!("{}: {:.0} batches", case.name, median(&batches));
        let mut rows = vec![ratio(case.what, case.goal, &floor, &ours)];
        if let Some(part) = case.longest {
            let parts = pairs(&longest, &floor);
            rows.push(Row {
                what: "  its longest transaction".into(),
                goal: format!("≤ 1/{part}"),
                floor: time(median(&floor)),
                ours: time(median(&longest)),
                result: format!("1/{:.0} ({:.0} batches)", 1.0 / median(&parts), median(&batches)),
                met: median(&parts) <= 1.0 / part,
            });
        }
        rows
    }

    fn idle(&self, what: &str, data: &'static Data, arguments: &[&str]) -> Vec<Row> {
        // Beside the server itself: a link to it may stand alone, and a psql in PATH may be a slow wrapper.
        let psql = fs::canonicalize(self.sandbox.bindir().join("postgres"))
            .unwrap()
            .with_file_name("psql");
        if !psql.is_file() {
            eprintln!("{what}: left out, no psql beside the server");
            return Vec::new();
        }
        let copy = self.copy(data);
        let url = copy.url();
        copy.process(arguments);
        let (mut floor, mut ours) = (vec![], vec![]);
        for _ in 0..QUICK_RUNS {
            let start = Instant::now();
            Run::of(Command::new(&psql).args(["-X", "-c", "select 1", &url])).ok();
            floor.push(ms(start.elapsed()));
            ours.push(copy.process(arguments).0);
        }
        vec![ratio(
            &format!("{what}, against psql -c 'select 1'"),
            0.7,
            &floor,
            &ours,
        )]
    }

    /// The view of who is active, against the original one.
    fn summary(&self) -> Vec<Row> {
        const VIEW: &str = "select * from public.active_sessions_summary";
        let row = |what: &str, original: &'static Data, ours: &'static Data| {
            let (original, ours) = (self.copy(original), self.copy(ours));
            let runs = 3 * self.runs;
            let (floor, ours): (Vec<_>, Vec<_>) = (0..runs)
                .map(|_| (original.statement(VIEW).0, ours.statement(VIEW).0))
                .unzip();
            ratio(what, 1.0, &floor, &ours)
        };
        vec![
            row(
                "summary of 200 k active, against the original view",
                &ORIGINAL_ACTIVE,
                &ACTIVE,
            ),
            row(
                "summary of 2 M active, against the original view",
                &ORIGINAL_CROWDED,
                &CROWDED,
            ),
        ]
    }

    /// A cleanup without work, right after a large one: the index entries of what is gone are still there.
    fn after_cleanup(&self) -> Vec<Row> {
        let times: Vec<f64> = (0..self.runs)
            .map(|_| {
                let copy = self.copy(&CORRELATED);
                copy.process(CLEANUP.sessctl);
                copy.process(CLEANUP.sessctl).0
            })
            .collect();
        let took = median(&times);
        vec![Row {
            what: "cleanup, nothing to do right after the large one".into(),
            goal: "≤ 500 ms".into(),
            floor: String::new(),
            ours: time(took),
            result: time(took),
            met: took <= 500.0,
        }]
    }

    /// A cleanup that archives, against one that does not, which has no goal; and the same memory however many sessions it deletes.
    fn archive(&self) -> Vec<Row> {
        let archive = |data: &'static Data| {
            let parent = tempfile::tempdir().unwrap();
            let dir = parent.path().to_str().unwrap().to_owned();
            let arguments = [CLEANUP.sessctl, &["--archive", &dir]].concat();
            let copy = self.copy(data);
            let begun = Instant::now();
            let peak = peak_memory(&mut copy.sessctl(&arguments));
            (ms(begun.elapsed()), peak)
        };
        let (mut floor, mut ours, mut peaks) = (vec![], vec![], vec![]);
        for _ in 0..self.runs {
            floor.push(self.copy(&CORRELATED).process(CLEANUP.sessctl).0);
            let (time, peak) = archive(&CORRELATED);
            ours.push(time);
            peaks.push(peak);
        }
        let (small, large) = (archive(&ONE_MOMENT_TENTH).1, median(&peaks));
        let mut row = ratio(
            "the same cleanup with an archive, against one without",
            0.0,
            &floor,
            &ours,
        );
        row.goal.clear();
        vec![
            row,
            memory_row("  peak memory, 100 k and 1 M archived", 128.0, small, large),
        ]
    }

    /// The sweep without the indexes that only reads use, against one UPDATE with all of them.
    fn minimal_sweep(&self) -> Vec<Row> {
        let pairs = (0..self.runs).map(|_| {
            let floor = self.copy(&CORRELATED).statement(SWEEP.floor).0;
            (floor, self.copy(&MINIMAL).process(SWEEP.sessctl).0)
        });
        let (floor, ours): (Vec<_>, Vec<_>) = pairs.unzip();
        vec![ratio(
            "the same without the indexes that only reads use, against one UPDATE with all",
            0.65,
            &floor,
            &ours,
        )]
    }

    /// Beats a second, and the HOT share, of two clients in a row.
    fn heartbeats(&self) -> Vec<Row> {
        const SPAN: Duration = Duration::from_secs(8);
        let measure = |data: &'static Data| {
            let copy = self.copy(data);
            let (beats, ()) = beside(&copy, &self.active(data), 2, Duration::ZERO, || sleep(SPAN));
            (beats.len() as f64 / SPAN.as_secs_f64(), hot_share(&copy))
        };
        let (mut floor, mut ours) = (vec![], vec![]);
        for _ in 0..self.runs {
            floor.push(measure(&ORIGINAL));
            ours.push(measure(&CORRELATED));
        }
        eprintln!("heartbeats a second, HOT share: original {floor:.0?}, ours {ours:.0?}");
        let ((floor, floor_hot), (ours, ours_hot)): ((Vec<_>, Vec<_>), (Vec<_>, Vec<_>)) =
            (floor.into_iter().unzip(), ours.into_iter().unzip());
        let gain = median(&pairs(&ours, &floor));
        let (floor_hot, ours_hot) = (median(&floor_hot), median(&ours_hot));
        vec![
            Row {
                what: "heartbeats a second, against the original table".into(),
                goal: "≥ 1.0".into(),
                floor: format!("{:.0}", median(&floor)),
                ours: format!("{:.0}", median(&ours)),
                result: format!("{gain:.2}"),
                met: gain >= 1.0,
            },
            Row {
                what: "  HOT share".into(),
                goal: "≥ 99 %".into(),
                floor: format!("{floor_hot:.1} %"),
                ours: format!("{ours_hot:.1} %"),
                result: format!("{ours_hot:.1} %"),
                met: ours_hot >= 99.0,
            },
        ]
    }

    /// The p99 of heartbeats, four clients with one each 10 ms, on any session that was active at the start.
    fn beats_beside(&self, case: &'static Batches) -> Vec<Row> {
        let sessions = self.active(case.data);
        let (mut alone, mut floor, mut ours, mut gentle) = (vec![], vec![], vec![], vec![]);
        let every = Duration::from_millis(10);
        for _ in 0..self.runs {
            let copy = self.copy(case.data);
            alone.push(percentile(
                &beside(&copy, &sessions, 4, every, || sleep(Duration::from_secs(4))).0,
                99,
            ));
            let copy = self.copy(case.data);
            floor.push(percentile(
                &beside(&copy, &sessions, 4, every, || copy.statement(case.floor)).0,
                99,
            ));
            let copy = self.copy(case.data);
            ours.push(percentile(
                &beside(&copy, &sessions, 4, every, || copy.process(case.sessctl)).0,
                99,
            ));
            let copy = self.copy(case.data);
            let throttled = [case.sessctl, &THROTTLE].concat();
            gentle.push(percentile(
                &beside(&copy, &sessions, 4, every, || copy.process(&throttled)).0,
                99,
            ));
        }
        eprintln!("heartbeat p99 with nothing beside: {}", time(median(&alone)));
        let what = format!("heartbeat p99 beside {}", case.what);
        vec![
            ratio(&what, 0.5, &floor, &ours),
            ratio(&format!("  with {}", THROTTLE.join(" ")), 0.5, &floor, &gentle),
        ]
    }

    fn memory(&self) -> Vec<Row> {
        let peak = |data: &'static Data, arguments: &[&str]| peak_memory(&mut self.copy(data).sessctl(arguments));
        vec![
            memory_row(
                "peak memory, cleanup of 1 k and 1 M",
                16.0,
                peak(&CROWD, &["cleanup", "--days", "1"]),
                peak(&CORRELATED, CLEANUP.sessctl),
            ),
            memory_row(
                "peak memory, sweep of 1 k and 100 k",
                16.0,
                peak(&CROWD, SWEEP.sessctl),
                peak(&CORRELATED, SWEEP.sessctl),
            ),
        ]
    }

    fn migrate_stall(&self) -> Vec<Row> {
        let stall = || {
            let copy = self.copy(&ORIGINAL);
            let one = &self.active(&ORIGINAL)[..1];
            let (beats, (took, _)) = beside(&copy, one, 1, Duration::from_millis(5), || copy.process(&["migrate"]));
            (percentile(&beats, 100), took)
        };
        let (stalls, took): (Vec<f64>, Vec<f64>) = (0..self.runs).map(|_| stall()).unzip();
        let longest = median(&stalls);
        vec![Row {
            what: "longest stall of a heartbeat, migrate on an adopted table".into(),
            goal: "≤ 250 ms".into(),
            floor: String::new(),
            ours: format!("{} in all", time(median(&took))),
            result: time(longest),
            met: longest <= 250.0,
        }]
    }
}

/// A large run takes the memory of a small one: a page more or less of the allocator's is the same.
fn memory_row(what: &str, most: f64, small: f64, large: f64) -> Row {
    Row {
        what: what.into(),
        goal: format!("the same, ≤ {most} MiB"),
        floor: String::new(),
        ours: format!("{small:.1}, {large:.1} MiB"),
        result: format!("{:.2}", large / small),
        met: large <= most && large / small <= 1.1,
    }
}

/// A transaction elsewhere, with a snapshot that sees every row as it was.
fn old_transaction(copy: &Copy<'_>) -> Client {
    let mut client = copy.client();
    client
        .batch_execute("begin isolation level repeatable read; select from public.user_sessions limit 1")
        .unwrap();
    client
}

/// How many percent of the updates were HOT.
fn hot_share(copy: &Copy<'_>) -> f64 {
    // The clients' statistics arrive with their last breath.
    sleep(Duration::from_millis(500));
    let share =
        "select n_tup_hot_upd * 100.0::float8 / n_tup_upd from pg_stat_user_tables where relname = 'user_sessions'";
    copy.client().query_one(share, &[]).unwrap().get(0)
}

/// [`beside_with`] heartbeats that write nothing else.
fn beside<T>(
    copy: &Copy<'_>,
    sessions: &[String],
    clients: u64,
    every: Duration,
    work: impl FnOnce() -> T,
) -> (Vec<f64>, T) {
    let beat = "update public.user_sessions set last_heartbeat_at = now() where session_id = $1";
    beside_with(beat, copy, sessions, clients, every, work)
}

/// Does the work while clients send heartbeats, each one at most `every` so long; gives the beats' latencies in
/// milliseconds. A beat counts if it began during the work.
fn beside_with<T>(
    sql: &str,
    copy: &Copy<'_>,
    sessions: &[String],
    clients: u64,
    every: Duration,
    work: impl FnOnce() -> T,
) -> (Vec<f64>, T) {
    let (over, ready) = (
        AtomicBool::new(false),
        Barrier::new(usize::try_from(clients).unwrap() + 1),
    );
    let url = copy.url();
    let beat = |seed: u64| {
        let mut client = Client::connect(&url, NoTls).unwrap();
        let statement = client.prepare(sql).unwrap();
        let (mut chance, mut beats) = (Chance::of(seed), Vec::new());
        ready.wait();
        while !over.load(Ordering::Relaxed) {
            let session = &sessions[usize::try_from(chance.below(sessions.len() as u64)).unwrap()];
            let begun = Instant::now();
            client.execute(&statement, &[session]).unwrap();
            let took = begun.elapsed();
            beats.push((begun, took));
            sleep(every.saturating_sub(took));
        }
        beats
    };
    scope(|scope| {
        let beat = &beat;
        let threads: Vec<_> = (1..=clients).map(|seed| scope.spawn(move || beat(seed))).collect();
        ready.wait();
        sleep(Duration::from_millis(200));
        let start = Instant::now();
        let result = work();
        let end = Instant::now();
        over.store(true, Ordering::Relaxed);
        let beats = threads.into_iter().flat_map(|thread| thread.join().unwrap());
        let during = beats
            .filter(|(begun, _)| (start..end).contains(begun))
            .map(|(_, took)| ms(took))
            .collect();
        (during, result)
    })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn time(ms: f64) -> String {
    if ms >= 1000.0 {
        format!("{:.2} s", ms / 1000.0)
    } else {
        format!("{ms:.1} ms")
    }
}

fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

fn pairs(above: &[f64], below: &[f64]) -> Vec<f64> {
    above.iter().zip(below).map(|(above, below)| above / below).collect()
}

fn ratio(what: &str, goal: f64, floor: &[f64], ours: &[f64]) -> Row {
    let ratio = median(&pairs(ours, floor));
    eprintln!("{what}: floor {floor:.0?}, sessctl {ours:.0?}");
    Row {
        what: what.into(),
        goal: format!("≤ {goal}"),
        floor: time(median(floor)),
        ours: time(median(ours)),
        result: format!("{ratio:.2}"),
        met: ratio <= goal,
    }
}

fn print(rows: &[Row]) {
    let lines = rows.iter().map(|row| {
        let met = match (row.goal.is_empty(), row.met) {
            (true, _) => "",
            (_, true) => "yes",
            (_, false) => "no",
        };
        [&row.what, &row.goal, &row.floor, &row.ours, &row.result, met].map(str::to_owned)
    });
    let head = ["what", "goal", "floor", "sessctl", "result", "met"].map(str::to_owned);
    let rule = ["---"; 6].map(str::to_owned);
    let lines: Vec<[String; 6]> = [head, rule].into_iter().chain(lines).collect();
    for line in &lines {
        let cells = line.iter().enumerate().map(|(column, cell)| {
            let width = lines.iter().map(|line| line[column].chars().count()).max().unwrap();
            format!("{cell}{}", " ".repeat(width - cell.chars().count()))
        });
        println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
    }
}

/// The value after a flag.
fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

fn main() {
    if std::env::args().any(|argument| argument == "--help") {
        println!(
            "make bench ARGS='[--rows 2200000] [--runs 3] [--only NAME,NAME] [--fsync on]': maintenance against single statements."
        );
        return;
    }
    let count = |name, default| option(name).map_or(default, |text| text.parse().expect(name));
    let only = option("--only").unwrap_or_default();
    let fsync = format!("fsync={}", option("--fsync").as_deref().unwrap_or("on"));
    let options = Options {
        settings: SETTINGS.map(String::from).into_iter().chain([fsync]).collect(),
        ..Options::default()
    };
    let lab = Lab {
        sandbox: block_on(Sandbox::start(&options)).unwrap(),
        rows: count("--rows", 2_200_000),
        runs: usize::try_from(count("--runs", 3)).unwrap(),
        templates: RefCell::default(),
        copies: Cell::default(),
    };
    let wanted = |name: &str| only.split(',').any(|part| name.contains(part));
    let mut rows = Vec::new();
    for case in BATCHES.iter().filter(|case| wanted(case.name)) {
        rows.extend(lab.batches(case));
    }
    for (_, what, data, arguments) in IDLE.iter().filter(|case| wanted(case.0)) {
        rows.extend(lab.idle(what, data, arguments));
    }
    let others: [(&str, &dyn Fn() -> Vec<Row>); 12] = [
        ("archive", &|| lab.archive()),
        ("sweep-minimal", &|| lab.minimal_sweep()),
        ("after-cleanup", &|| lab.after_cleanup()),
        ("summary", &|| lab.summary()),
        ("heartbeats", &|| lab.heartbeats()),
        ("app-heartbeats", &|| lab.app_heartbeats()),
        ("insert", &|| lab.insert()),
        ("week", &|| lab.week()),
        ("p99-cleanup", &|| lab.beats_beside(&CLEANUP)),
        ("p99-sweep", &|| lab.beats_beside(&SWEEP)),
        ("memory", &|| lab.memory()),
        ("stall", &|| lab.migrate_stall()),
    ];
    for (_, case) in others.iter().filter(|case| wanted(case.0)) {
        rows.extend(case());
    }
    print(&rows);
}
