//! How `sessctl schedule install` shows what it did.

use std::io;

use serde::Serialize;

use crate::output::{Page, Report, Style};

/// A job: its name, when it runs, what it runs.
#[derive(Serialize)]
pub(super) struct Job {
    pub(super) name: &'static str,
    pub(super) schedule: String,
    pub(super) command: String,
}

/// The jobs, as they are scheduled or would be.
#[derive(Serialize)]
pub(super) struct Installed {
    pub(super) jobs: Vec<Job>,
    pub(super) dry_run: bool,
}

impl Report for Installed {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        for job in &self.jobs {
            if self.dry_run {
                let quoted =
                    [job.name, &job.schedule, &job.command].map(|text| format!("'{}'", text.replace('\'', "''")));
                out.line(format!("select cron.schedule({});", quoted.join(", ")))?;
            } else {
                let line = format!("scheduled {} at \"{}\": {}", job.name, job.schedule, job.command);
                out.line(out.paint(Style::Good, &line))?;
            }
        }
        Ok(())
    }
}
