//! The days of the statistics.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What the database found.
#[derive(Deserialize)]
pub(super) struct Found {
    days: Vec<String>,
    /// Days on which a session started, in no order.
    found: Vec<Day>,
}

/// Sessions that started on a day. Null where there is nothing to measure. The database gives it as an array in this order.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
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

impl Found {
    /// A row for each day; with platforms one for each of those that are in the window, whether a session started or not.
    pub(super) fn every_day(self) -> Vec<Day> {
        let platforms: BTreeSet<Option<String>> = match self.found.is_empty() {
            true => BTreeSet::from([None]),
            false => self.found.iter().map(|day| day.platform.clone()).collect(),
        };
        let mut found: BTreeMap<(String, Option<String>), Day> = self
            .found
            .into_iter()
            .map(|day| ((day.day.clone(), day.platform.clone()), day))
            .collect();
        let mut days = Vec::new();
        for day in self.days {
            for platform in &platforms {
                let key = (day.clone(), platform.clone());
                days.push(found.remove(&key).unwrap_or(Day {
                    day: key.0,
                    platform: key.1,
                    ..Day::default()
                }));
            }
        }
        days
    }
}
