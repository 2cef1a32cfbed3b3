//! How `sessctl schedule list` shows the jobs.

use std::io;

use super::list::Listing;
use crate::output::{Page, Report, Rows, Style, Text};

impl Report for Listing {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        if self.jobs.is_empty() {
            return out.line("no job of sessctl's is scheduled: sessctl schedule install creates them");
        }
        for job in &self.jobs {
            let off = if job.active { "" } else { " (switched off)" };
            let place = format!("in database {}, as {}", job.database, job.username);
            out.line(out.paint(Style::Bold, &job.name) + format!("  {}  {place}{off}", job.schedule))?;
            if job.runs.is_empty() {
                out.line("  has not run yet")?;
            }
            for run in &job.runs {
                let style = if run.status == "failed" {
                    Style::Bad
                } else {
                    Style::Good
                };
                // Whole seconds; the time is in UTC.
                let started = run
                    .started
                    .as_deref()
                    .and_then(|time| time.get(..19))
                    .map_or(String::new(), |t| format!("{t}Z"));
                let elapsed = run.elapsed_ms.map_or(String::new(), |ms| format!("{ms} ms"));
                let status = out.paint(style, &format!("{:9}", run.status));
                let outcome = run.outcome();
                out.line(Text::from(format!("  {started:20}  ")) + status + format!("  {elapsed:>8}  {outcome}"))?;
            }
        }
        Ok(())
    }

    fn csv(&self) -> Option<Rows> {
        let mut rows = Vec::new();
        for job in &self.jobs {
            let of_job = [
                &job.name,
                &job.schedule,
                &job.command,
                &job.active.to_string(),
                &job.database,
                &job.username,
            ];
            let of_job = of_job.map(String::clone);
            // A job that has not run yet has a line too.
            let none = job.runs.is_empty().then(|| vec![String::new(); 6]);
            let runs = job.runs.iter().map(|run| {
                vec![
                    run.started.clone().unwrap_or_default(),
                    run.elapsed_ms.map_or(String::new(), |ms| ms.to_string()),
                    run.status.clone(),
                    run.rows.map_or(String::new(), |rows| rows.to_string()),
                    run.message.clone().unwrap_or_default(),
                    run.met_limit.to_string(),
                ]
            });
            rows.extend(runs.chain(none).map(|run| [of_job.to_vec(), run].concat()));
        }
        let header = vec![
            "job",
            "schedule",
            "command",
            "active",
            "database",
            "username",
            "started",
            "elapsed_ms",
            "status",
            "rows",
            "message",
            "met_limit",
        ];
        Some((header, rows))
    }
}
