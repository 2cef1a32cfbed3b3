//! The days of the statistics.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::database::{Database, Value, bind};
use crate::failure::Failure;

/// By what sessions are counted. The names are those of the query.
pub(super) const ALL: &str = "all";
pub(super) const PLATFORM: &str = "platform";
pub(super) const REASON: &str = "reason";

/// How many platforms and end reasons a page names, and how many characters of a name are read.
pub(super) const NAMED: i64 = 7;
const LONGEST: i64 = 200;
/// More than there can be.
const UNLIMITED: i64 = 1_000_000_000;

/// The days to read.
pub(super) struct Window<'a> {
    pub(super) zone: &'a str,
    pub(super) days: i64,
    /// Whether an index finds sessions by started_at.
    pub(super) indexed: bool,
}

impl Window<'_> {
    /// Reads these views in one statement, so that they are of the same moment. Of each at most so many names, and the others as one;
    /// then without durations.
    ///
    /// # Errors
    /// The server's or the connection's.
    pub(super) async fn read(&self, database: &Database, views: &[(&str, Option<i64>)]) -> Result<Vec<Found>, Failure> {
        let found = match self.indexed {
            true => include_str!("by_index.sql"),
            false => include_str!("whole_table.sql"),
        };
        let sql = [include_str!("window.sql"), found, include_str!("views.sql")].concat();
        let view = |(view, named): &(&str, Option<i64>)| {
            let values = [
                ("zone", Value::Text(self.zone)),
                ("days", Value::Int(self.days)),
                ("view", Value::Text(view)),
                ("durations", Value::Bool(named.is_none())),
                ("most", Value::Int(named.unwrap_or(UNLIMITED))),
                ("longest", Value::Int(named.map_or(UNLIMITED, |_| LONGEST))),
            ];
            format!("({})::json", bind(&sql, &values))
        };
        let views: Vec<String> = views.iter().map(view).collect();
        let sql = format!("select json_build_array({})::text", views.join(", "));
        // Compiling the plan would take longer than a short window's work.
        match database.transact("set local jit = off", &sql).await {
            Ok(found) => Ok(found),
            Err(error) => Err(database.explain(error, "stats failed").await),
        }
    }
}

/// What the database found in a view.
#[derive(Deserialize)]
pub(super) struct Found {
    pub(super) now: DateTime<Utc>,
    pub(super) days: Vec<String>,
    /// Platforms or reasons: number, name, and how many have this number. The one with the most sessions comes first.
    keys: Vec<(u32, Option<String>, u64)>,
    /// Days on which a session started, in no order.
    found: Vec<Cell>,
}

/// Day, number of the key, and the numbers of [`Day`].
#[derive(Deserialize)]
struct Cell(String, u32, u64, u64, Option<i64>, Option<i64>, Option<f64>);

/// Sessions that started on a day. Null where there is nothing to measure.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Day {
    pub(super) day: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<String>,
    pub(super) started: u64,
    pub(super) users: u64,
    pub(super) median_seconds: Option<i64>,
    pub(super) p95_seconds: Option<i64>,
    /// Of those that are over, from 0 to 1.
    pub(super) timeout_share: Option<f64>,
}

/// A platform, a reason or all, with each day.
#[derive(Debug)]
pub(super) struct Group {
    /// Absent where the sessions have none, and where it is several.
    pub(super) name: Option<String>,
    /// How many it is.
    pub(super) members: u64,
    pub(super) days: Vec<Day>,
}

impl Found {
    /// The groups of the view, the one with the most sessions first. Without a session there is none.
    pub(super) fn groups(&self) -> Vec<Group> {
        let cells: BTreeMap<(u32, &str), &Cell> = self
            .found
            .iter()
            .map(|cell| ((cell.1, cell.0.as_str()), cell))
            .collect();
        let day = |number: u32, name: &Option<String>, day: &String| {
            let mut found = Day {
                day: day.clone(),
                platform: name.clone(),
                ..Day::default()
            };
            if let Some(Cell(_, _, started, users, median, p95, timeouts)) = cells.get(&(number, day.as_str())) {
                (found.started, found.users, found.timeout_share) = (*started, *users, *timeouts);
                (found.median_seconds, found.p95_seconds) = (*median, *p95);
            }
            found
        };
        let group = |(number, name, members): &(u32, Option<String>, u64)| Group {
            name: name.clone(),
            members: *members,
            days: self.days.iter().map(|date| day(*number, name, date)).collect(),
        };
        self.keys.iter().map(group).collect()
    }

    /// A row for each day; of platforms one for each of those that are in the window, whether a session started or not.
    pub(super) fn every_day(&self) -> Vec<Day> {
        let mut groups = self.groups();
        if groups.is_empty() {
            let none = |day: &String| Day {
                day: day.clone(),
                ..Day::default()
            };
            return self.days.iter().map(none).collect();
        }
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        let day = |number: usize| groups.iter().filter_map(move |group| group.days.get(number).cloned());
        (0..self.days.len()).flat_map(day).collect()
    }
}
