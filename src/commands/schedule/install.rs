//! `sessctl schedule install`: creates the jobs, or changes them in place.

use std::io;

use clap::Args as ClapArgs;
use serde::Serialize;
use tokio_postgres::types::Type;

use super::super::settings::Settings;
use super::FAILED;
use crate::database::{Database, QueryError};
use crate::failure::Failure;
use crate::maintenance::{CLEANUP, CRON_HISTORY, CronArguments, END_INACTIVE, narrower};
use crate::output::{Page, Report, Style};

#[derive(ClapArgs, Debug)]
pub(super) struct Install {
    /// When to end inactive sessions, as cron has it
    #[arg(long, value_name = "SCHEDULE", default_value = END_INACTIVE.cron_schedule)]
    end_inactive: String,
    /// Minutes without a sign of life (default 60)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(END_INACTIVE.range.clone()))]
    minutes: Option<i32>,
    /// End idle sessions too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    include_idle: Option<bool>,
    /// When to delete old sessions, as cron has it (UTC on the platform)
    #[arg(long, value_name = "SCHEDULE", default_value = CLEANUP.cron_schedule)]
    cleanup: String,
    /// Days since a session ended (default 90)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(CLEANUP.range.clone()))]
    days: Option<i32>,
    /// Sessions that a foreign key of another table keeps are no failure
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    keep_referenced: Option<bool>,
    /// Print the SQL, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Schedule a cleanup that deletes over half of the table with fewer days than the last run, without asking
    #[arg(long)]
    yes: bool,
}

/// A job: its name, when it runs, what it runs.
#[derive(Serialize)]
struct Job {
    name: &'static str,
    schedule: String,
    command: String,
}

impl Install {
    fn jobs(&self, settings: &Settings) -> [Job; 3] {
        let [end_inactive, cleanup] = [
            (
                &END_INACTIVE,
                &self.end_inactive,
                self.minutes.unwrap_or(settings.minutes),
                self.include_idle.unwrap_or(settings.include_idle),
            ),
            (
                &CLEANUP,
                &self.cleanup,
                self.days.unwrap_or(settings.days),
                self.keep_referenced.unwrap_or(settings.keep_referenced),
            ),
        ]
        .map(|(job, schedule, threshold, option)| Job {
            name: job.cron_job,
            schedule: schedule.clone(),
            command: job.cron_command(CronArguments { threshold, option }),
        });
        let (name, schedule, command) = CRON_HISTORY;
        let history = Job {
            name,
            schedule: schedule.into(),
            command: command.into(),
        };
        [end_inactive, cleanup, history]
    }

    /// What a run would schedule.
    pub(super) fn plan(&self, settings: &Settings) -> Installed {
        Installed {
            jobs: self.jobs(settings),
            dry_run: true,
        }
    }

    /// What must be confirmed before these jobs are scheduled, if something must be.
    pub(super) async fn question(&self, database: &Database, settings: &Settings) -> Result<Option<String>, Failure> {
        if self.yes {
            return Ok(None);
        }
        match narrower(database, self.days.unwrap_or(settings.days), None).await {
            Ok(question) => Ok(question),
            Err(error) => Err(database.explain(error, FAILED).await),
        }
    }

    /// All jobs or none.
    pub(super) async fn run(&self, database: &Database, settings: &Settings) -> Result<Installed, Failure> {
        let failed = |error: QueryError| error.explain("can't schedule");
        database.begin().await.map_err(failed)?;
        let jobs = self.jobs(settings);
        for job in &jobs {
            let parameters = [
                (&job.name as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT),
                (&job.schedule, Type::TEXT),
                (&job.command, Type::TEXT),
            ];
            let id: Result<i64, _> = database.json_within(include_str!("install.sql"), &parameters).await;
            if let Err(error) = id {
                let _ = database.run("rollback").await;
                return Err(error
                    .explain(&format!("can't schedule {} at \"{}\"", job.name, job.schedule))
                    .hint("a schedule is five fields, as in \"*/5 * * * *\"; nothing was changed"));
            }
        }
        database.run("commit").await.map_err(failed)?;
        Ok(Installed { jobs, dry_run: false })
    }
}

/// The jobs, as they are scheduled or would be.
#[derive(Serialize)]
pub(super) struct Installed {
    jobs: [Job; 3],
    dry_run: bool,
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
