//! How the statistics are shown.

use std::collections::BTreeSet;
use std::io;

use super::Stats;
use super::days::Day;
use crate::output::{Page, Report, Rows, Style, Text, count, span, sparkline};

/// The most characters of a sparkline.
const SPARKLINE: usize = 60;

/// A column with a sparkline: its title, and its number of a day.
type Column = (&'static str, fn(&Day) -> Option<f64>);

#[allow(clippy::cast_precision_loss)]
const COLUMNS: [Column; 5] = [
    ("started", |day| Some(day.started as f64)),
    ("users", |day| Some(day.users as f64)),
    ("median", |day| day.median_seconds.map(|seconds| seconds as f64)),
    ("p95", |day| day.p95_seconds.map(|seconds| seconds as f64)),
    ("by timeout", |day| day.timeout_share),
];

impl Stats {
    /// The days of each platform; without --by platform, of all sessions.
    fn series(&self) -> Vec<(&str, Vec<&Day>)> {
        let mut series: Vec<(&str, Vec<&Day>)> = Vec::new();
        for day in &self.days {
            let name = day.platform.as_deref().unwrap_or_default();
            match series.iter_mut().find(|(known, _)| *known == name) {
                Some((_, days)) => days.push(day),
                None => series.push((name, vec![day])),
            }
        }
        series
    }

    fn trends(&self, out: &mut Page<'_>) -> io::Result<()> {
        let mut rows: Vec<Vec<Text>> = Vec::new();
        for (platform, days) in self.series() {
            for (title, number) in COLUMNS {
                let numbers: Vec<Option<f64>> = days.iter().map(|day| number(day)).collect();
                let mut row: Vec<Text> = vec![title.into(), out.paint(Style::Good, &sparkline(&numbers, SPARKLINE))];
                if self.by_platform {
                    row.insert(0, platform.into());
                }
                rows.push(row);
            }
        }
        // The line of the header, which is empty, is between the two tables.
        out.grid(&[], rows)
    }
}

fn seconds(seconds: Option<i64>) -> Text {
    seconds.map_or_else(|| "-".into(), |seconds| span(seconds).into())
}

fn share(share: Option<f64>) -> Text {
    share.map_or_else(|| "-".into(), |share| format!("{:.1} %", share * 100.0).into())
}

impl Report for Stats {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        if let Some(file) = &self.file {
            let started = self.days.iter().map(|day| day.started).sum();
            let sessions = match started {
                1 => "1 session".into(),
                started => format!("{} sessions", count(started)),
            };
            let days = self.days.iter().map(|day| &day.day).collect::<BTreeSet<_>>().len();
            let days = if days == 1 {
                "1 day".into()
            } else {
                format!("{days} days")
            };
            let line = format!("wrote {file}: {sessions} in {days}");
            return out.line(out.paint(Style::Good, &line));
        }
        let mut header = vec!["day", "started", "users", "median", "p95", "by timeout"];
        if self.by_platform {
            header.insert(1, "platform");
        }
        let rows = self.days.iter().map(|day| {
            let mut row: Vec<Text> = vec![
                day.day.as_str().into(),
                count(day.started).into(),
                count(day.users).into(),
                seconds(day.median_seconds),
                seconds(day.p95_seconds),
                share(day.timeout_share),
            ];
            if self.by_platform {
                row.insert(1, day.platform.as_deref().unwrap_or("-").into());
            }
            row
        });
        out.grid(&header, rows.collect())?;
        if out.styled() {
            self.trends(out)?;
        }
        let first = self.days.first().map(|day| &day.day);
        let note = match &self.whole_since {
            Some(since) if first < Some(since) => {
                format!(
                    "days in {}; cleanup has deleted sessions of days before {since}",
                    self.zone
                )
            }
            _ => format!("days in {}", self.zone),
        };
        out.line(out.paint(Style::Dim, &note))
    }

    fn csv(&self) -> Option<Rows> {
        let mut header = vec![
            "day",
            "started",
            "users",
            "median_seconds",
            "p95_seconds",
            "timeout_share",
        ];
        if self.by_platform {
            header.insert(1, "platform");
        }
        let text = |number: Option<i64>| number.map_or_else(String::new, |number| number.to_string());
        let rows = self.days.iter().map(|day| {
            let mut row = vec![
                day.day.clone(),
                day.started.to_string(),
                day.users.to_string(),
                text(day.median_seconds),
                text(day.p95_seconds),
                day.timeout_share.map_or_else(String::new, |share| share.to_string()),
            ];
            if self.by_platform {
                row.insert(1, day.platform.clone().unwrap_or_default());
            }
            row
        });
        Some((header, rows.collect()))
    }
}
