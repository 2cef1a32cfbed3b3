//! The days of the statistics.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// By what sessions are counted. The names are those of the query.
pub(super) const ALL: &str = "all";
pub(super) const PLATFORM: &str = "platform";
pub(super) const REASON: &str = "reason";

/// What the database found.
#[derive(Deserialize)]
pub(super) struct Found {
    pub(super) now: DateTime<Utc>,
    pub(super) days: Vec<String>,
    /// Platforms and reasons: view, number, name, and how many go by this number. The one with the most sessions comes first.
    keys: Vec<(String, u32, Option<String>, u64)>,
    /// Days on which a session started, in no order.
    found: Vec<Cell>,
}

/// Day, view, number of the key, and the numbers of [`Day`].
#[derive(Deserialize)]
struct Cell(String, String, u32, u64, u64, Option<i64>, Option<i64>, Option<f64>);

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
    /// The groups of a view, the one with the most sessions first. Without a session there is none.
    pub(super) fn groups(&self, view: &str) -> Vec<Group> {
        let mut cells: BTreeMap<(u32, &str), &Cell> = BTreeMap::new();
        for cell in self.found.iter().filter(|cell| cell.1 == view) {
            cells.insert((cell.2, &cell.0), cell);
        }
        let mut keys: Vec<_> = self.keys.iter().filter(|key| key.0 == view).collect();
        keys.sort_by_key(|key| key.1);
        let group = |(_, number, name, members): &(String, u32, Option<String>, u64)| Group {
            name: name.clone(),
            members: *members,
            days: self
                .days
                .iter()
                .map(|day| {
                    let cell = cells.get(&(*number, day.as_str()));
                    let numbers = cell.map(
                        |Cell(_, _, _, started, users, median_seconds, p95_seconds, timeout_share)| Day {
                            started: *started,
                            users: *users,
                            median_seconds: *median_seconds,
                            p95_seconds: *p95_seconds,
                            timeout_share: *timeout_share,
                            ..Day::default()
                        },
                    );
                    Day {
                        day: day.clone(),
                        platform: name.clone(),
                        ..numbers.unwrap_or_default()
                    }
                })
                .collect(),
        };
        keys.into_iter().map(group).collect()
    }

    /// A row for each day; of platforms one for each of those that are in the window, whether a session started or not.
    pub(super) fn every_day(&self, view: &str) -> Vec<Day> {
        let mut groups = self.groups(view);
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
