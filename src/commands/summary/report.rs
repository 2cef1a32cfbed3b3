//! How a summary is shown.

use std::io;

use chrono::{DateTime, Utc};

use super::Summary;
use crate::output::{Page, Report, Rows, Style, Text, count, span};

/// The width of the bar that shows a platform's share.
const BAR_WIDTH: u64 = 20;

impl Summary {
    /// How long ago, in words; a time that no calendar holds stays as it is.
    fn ago(&self, time: Option<&str>) -> String {
        let Some(time) = time else {
            return "never".into();
        };
        match DateTime::parse_from_rfc3339(time) {
            Ok(then) => match (self.now - then.with_timezone(&Utc)).num_seconds() {
                seconds @ ..-60 => format!("in {}", span(-seconds)),
                seconds => format!("{} ago", span(seconds)),
            },
            Err(_) => time.to_owned(),
        }
    }
}

#[allow(clippy::cast_possible_truncation)]
fn minutes(minutes: Option<f64>) -> String {
    minutes.map_or_else(|| "-".into(), |minutes| span((minutes * 60.0) as i64))
}

fn counted(number: Option<u64>) -> String {
    number.map_or_else(|| "-".into(), count)
}

impl Report for Summary {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        if self.platforms.is_empty() {
            return out.line("no session is active or idle");
        }
        let mut header = vec![
            "platform",
            "active",
            "due",
            "idle",
            "average age",
            "oldest",
            "latest activity",
        ];
        if out.styled() {
            header.push("share");
        }
        let mut rows: Vec<Vec<Text>> = Vec::new();
        for row in &self.platforms {
            let ago = |time: &Option<String>| match row.active_count {
                0 => "-".into(),
                _ => self.ago(time.as_deref()),
            };
            let mut cells: Vec<Text> = vec![
                row.platform.as_str().into(),
                count(row.active_count).into(),
                counted(row.due_count).into(),
                counted(row.idle_count).into(),
                minutes(row.avg_session_minutes).into(),
                ago(&row.oldest_session).into(),
                ago(&row.latest_activity).into(),
            ];
            if out.styled() {
                let filled = row.active_count * BAR_WIDTH / self.total_active.max(1);
                let bar = "█".repeat(usize::try_from(filled.max(1)).unwrap_or(1));
                cells.push(match row.active_count {
                    0 => "".into(),
                    _ => out.paint(Style::Good, &bar),
                });
            }
            rows.push(cells);
        }
        let total = [
            "total".into(),
            count(self.total_active),
            counted(self.total_due),
            counted(self.total_idle),
        ];
        rows.push(total.iter().map(|cell| out.paint(Style::Bold, cell)).collect());
        out.grid(&header, rows)
    }

    fn csv(&self) -> Option<Rows> {
        let header = vec![
            "platform",
            "active_count",
            "avg_session_minutes",
            "oldest_session",
            "latest_activity",
            "idle_count",
            "due_count",
        ];
        let text = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
        let rows = self.platforms.iter().map(|row| {
            vec![
                row.platform.clone(),
                row.active_count.to_string(),
                row.avg_session_minutes
                    .map_or_else(String::new, |minutes| minutes.to_string()),
                row.oldest_session.clone().unwrap_or_default(),
                row.latest_activity.clone().unwrap_or_default(),
                text(row.idle_count),
                text(row.due_count),
            ]
        });
        Some((header, rows.collect()))
    }
}
