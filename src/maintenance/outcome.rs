//! What a run did, as data and as a report.

use std::io;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::ledger::Tally;
use crate::failure::exit;
use crate::output::{Json, Page, Report, Style, count};

/// What a run did.
pub struct Outcome {
    pub(super) done: &'static str,
    pub(super) would: &'static str,
    pub(super) which: &'static str,
    pub(super) tally: Tally,
    pub(super) cutoff: String,
    pub(super) dry_run: bool,
    pub(super) elapsed: Duration,
    pub(super) skipped: bool,
    pub(super) interrupted: bool,
    pub(super) out_of_time: bool,
    pub(super) left: Option<u64>,
}

impl Outcome {
    fn cutoff(&self, form: SecondsFormat) -> String {
        DateTime::parse_from_rfc3339(&self.cutoff).map_or_else(
            |_| self.cutoff.clone(),
            |time| time.with_timezone(&Utc).to_rfc3339_opts(form, true),
        )
    }

    fn sentence(&self) -> String {
        let verb = if self.dry_run { self.would } else { self.done };
        let mut text = format!(
            "{verb} {} {} {} {} ({}{:.1} s)",
            count(self.tally.rows),
            if self.tally.rows == 1 { "session" } else { "sessions" },
            self.which,
            self.cutoff(SecondsFormat::Secs),
            match (self.dry_run, self.tally.batches) {
                (true, _) => "dry run, ".into(),
                (false, 1) => "1 batch, ".into(),
                (false, n) => format!("{} batches, ", count(n)),
            },
            self.elapsed.as_secs_f64(),
        );
        if self.skipped && self.tally.batches == 0 {
            return "another run is at work, nothing done here".into();
        }
        if self.skipped {
            text = format!("{text}; another run is at work, and took over");
        }
        if self.interrupted {
            text = format!("interrupted: {text}; what is done stays");
        }
        if self.out_of_time {
            let left = self
                .left
                .map_or("more may be".into(), |left| format!("about {}", count(left)));
            text = format!("{text}; out of time, {left} left");
        }
        text
    }
}

impl Json for Outcome {
    fn json(&self) -> serde_json::Result<Value> {
        let mut object = Map::new();
        object.insert(self.done.into(), self.tally.rows.into());
        let rest = json!({
            "cutoff": self.cutoff(SecondsFormat::Micros),
            "dry_run": self.dry_run,
            "batches": self.tally.batches,
            "elapsed_ms": u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            "skipped": self.skipped,
            "interrupted": self.interrupted,
            "left": self.left,
        });
        if let Value::Object(rest) = rest {
            object.extend(rest);
        }
        Ok(Value::Object(object))
    }
}

impl Report for Outcome {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        let style = if self.skipped || self.interrupted || self.out_of_time {
            Style::Warning
        } else {
            Style::Good
        };
        out.raw(&out.paint(style, &self.sentence()))
    }

    fn code(&self) -> u8 {
        if self.interrupted {
            exit::INTERRUPTED
        } else {
            exit::DONE
        }
    }
}
