//! What the table costs an app that uses it: its heartbeats, its inserts, and the size after a week.

use std::thread::sleep;
use std::time::Duration;

use super::{
    CORRELATED, Copy, Data, Lab, MINIMAL, ORIGINAL, Row, beside_with, data, hot_share, median, minimal, original,
    pairs, ratio, time,
};

/// A heartbeat as an app sends it.
const BEAT: &str = "update public.user_sessions
    set last_heartbeat_at = now(), last_activity_at = now(), activity_count = activity_count + 1 where session_id = $1";

const EMPTY: Data = data("empty", "time", 0, 0, 0);
const ORIGINAL_EMPTY: Data = original("original_empty", &EMPTY);
const MINIMAL_EMPTY: Data = minimal("minimal_empty", &EMPTY);

const LIFE: Data = data("life", "time", 180, 20, 0);
const ORIGINAL_LIFE: Data = original("original_life", &LIFE);
const MINIMAL_LIFE: Data = minimal("minimal_life", &LIFE);

/// Sessions that begin on a day, in thousands at 2.2 million rows.
const STARTS: u64 = 20;

/// What the original script's functions should have done.
const ORIGINAL_SWEEP: &str = "update public.user_sessions
    set status = 'timeout', ended_at = now(), end_reason = 'timeout',
        total_duration_seconds = public.calculate_session_duration(started_at, now())
    where status = 'active' and last_heartbeat_at < now() - interval '60 minutes'";

impl Lab {
    /// Heartbeats a second of an app, and their HOT share.
    pub(super) fn app_heartbeats(&self) -> Vec<Row> {
        const SPAN: Duration = Duration::from_secs(8);
        let measure = |data: &'static Data| {
            let copy = self.copy(data);
            let (beats, ()) = beside_with(BEAT, &copy, &self.active(data), 4, Duration::ZERO, || sleep(SPAN));
            (beats.len() as f64 / SPAN.as_secs_f64(), hot_share(&copy))
        };
        let mut beats = [vec![], vec![], vec![]];
        let mut hot = [vec![], vec![], vec![]];
        for _ in 0..self.runs {
            for (number, data) in [&ORIGINAL, &CORRELATED, &MINIMAL].into_iter().enumerate() {
                let (count, share) = measure(data);
                beats[number].push(count);
                hot[number].push(share);
            }
        }
        eprintln!("an app's heartbeats: original, all indexes, the least: {beats:.0?}, HOT {hot:.1?}");
        let row = |what: &str, number: usize, goal: f64| {
            let gain = median(&pairs(&beats[number], &beats[0]));
            Row {
                what: what.into(),
                goal: format!("≥ {goal}"),
                floor: format!("{:.0}", median(&beats[0])),
                ours: format!("{:.0}", median(&beats[number])),
                result: format!("{gain:.2}"),
                met: gain >= goal,
            }
        };
        let share = median(&hot[2]);
        vec![
            row("an app's heartbeats a second, against the original table", 1, 1.0),
            row("  without the indexes that only reads use", 2, 1.24),
            Row {
                what: "  HOT share".into(),
                goal: "≥ 99 %".into(),
                floor: format!("{:.1} %", median(&hot[0])),
                ours: format!("{share:.1} %"),
                result: format!("{share:.1} %"),
                met: share >= 99.0,
            },
        ]
    }

    /// One INSERT of many sessions.
    pub(super) fn insert(&self) -> Vec<Row> {
        let sql = format!(
            "insert into public.user_sessions (user_id, session_id, platform, started_at, last_heartbeat_at, device_info)
            select md5('user ' || n % 20000)::uuid, 'new-' || n, 'web', now(), now(), '{{\"os\": \"iOS 18.1\"}}'
            from generate_series(1, {}) as n",
            self.count(200)
        );
        let mut times = [vec![], vec![], vec![]];
        for _ in 0..self.runs {
            for (number, data) in [&ORIGINAL_EMPTY, &EMPTY, &MINIMAL_EMPTY].into_iter().enumerate() {
                times[number].push(self.copy(data).statement(&sql).0);
            }
        }
        let row = |what: &str, number: usize, goal: f64| {
            let mut row = ratio(what, 0.0, &times[0], &times[number]);
            let gain = median(&pairs(&times[0], &times[number]));
            row.goal = format!("≥ {goal} times as fast");
            row.result = format!("{gain:.2}");
            row.met = gain >= goal;
            row
        };
        vec![
            row("insert of 200 k sessions, against the original table", 1, 1.35),
            row("  without the indexes that only reads use", 2, 1.5),
        ]
    }

    /// Dead rows and size after a week of an app's life with a vacuum a day, the original functions as they were meant.
    pub(super) fn week(&self) -> Vec<Row> {
        let (original, original_dead) = self.live(&ORIGINAL_LIFE, |copy, days| {
            let cleanup = format!(
                "delete from public.user_sessions where ended_at < now() - interval '{} hours'",
                days * 24
            );
            copy.statement(ORIGINAL_SWEEP);
            copy.statement(&cleanup);
        });
        let ours = |data| {
            self.live(data, |copy, days| {
                copy.process(&["end-inactive", "--minutes", "60"]);
                copy.process(&["cleanup", "--days", &days.to_string()]);
            })
        };
        let row = |what: &str, (size, dead): (f64, f64)| Row {
            what: what.into(),
            goal: "≤ 0.7".into(),
            floor: format!("{:.0} MB, {original_dead:.0} dead", original / 1e6),
            ours: format!("{:.0} MB, {dead:.0} dead", size / 1e6),
            result: format!("{:.2}", size / original),
            met: size / original <= 0.7,
        };
        vec![
            row("size after a week, against the original table", ours(&LIFE)),
            row("  without the indexes that only reads use", ours(&MINIMAL_LIFE)),
        ]
    }

    /// Seven days; `maintain` keeps so many days. Bytes of the table with its indexes, and dead rows before the last vacuum.
    fn live(&self, data: &'static Data, maintain: impl Fn(&Copy<'_>, u64)) -> (f64, f64) {
        let copy = self.copy(data);
        let mut client = copy.client();
        let mut dead = 0.0;
        for day in 1..=7 {
            let settings = format!("set bench.day = {day}; set bench.starts = {};", self.count(STARTS));
            client.batch_execute(&settings).unwrap();
            // Each statement, apart by an empty line, is a transaction of its own.
            for statement in include_str!("day.sql").split("\n\n") {
                client.batch_execute(statement).unwrap();
            }
            maintain(&copy, 180 - day);
            client.batch_execute("select pg_stat_force_next_flush()").unwrap();
            sleep(Duration::from_millis(200));
            dead = client
                .query_one(
                    "select n_dead_tup::float8 from pg_stat_user_tables where relname = 'user_sessions'",
                    &[],
                )
                .unwrap()
                .get(0);
            client.batch_execute("vacuum (analyze) public.user_sessions").unwrap();
        }
        let size = client
            .query_one("select pg_total_relation_size('public.user_sessions')::float8", &[])
            .unwrap()
            .get(0);
        eprintln!("{}: {}", data.name, time(size / 1e6));
        (size, dead)
    }
}
