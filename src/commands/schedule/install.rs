//! `sessctl schedule install`: creates the jobs, or changes them in place.

use clap::Args as ClapArgs;
use tokio_postgres::types::Type;

use super::super::settings::Settings;
use super::FAILED;
use super::anonymize::Anonymize;
use super::installed::{Installed, Job};
use crate::database::{Database, QueryError};
use crate::failure::Failure;
use crate::maintenance::{CLEANUP, CRON_HISTORY, CronArguments, END_INACTIVE, Work, narrower};

#[derive(ClapArgs, Debug)]
pub(super) struct Install {
    /// Schedule of end-inactive, in cron's syntax
    #[arg(long, value_name = "SCHEDULE", default_value = END_INACTIVE.cron_schedule)]
    end_inactive: String,
    /// Minutes since the last sign of life (default 60)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(END_INACTIVE.range.clone()))]
    minutes: Option<i32>,
    /// Also end idle sessions
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    include_idle: Option<bool>,
    /// Schedule of cleanup, in cron's syntax (UTC on the platform)
    #[arg(long, value_name = "SCHEDULE", default_value = CLEANUP.cron_schedule)]
    cleanup: String,
    /// Days since a session ended (default 90)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(CLEANUP.range.clone()))]
    days: Option<i32>,
    /// Do not fail if a foreign key of another table keeps sessions
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    keep_referenced: Option<bool>,
    #[command(flatten)]
    anonymize: Anonymize,
    /// Print the SQL; change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask if days are fewer than last time and over half of the table is affected
    #[arg(long)]
    yes: bool,
}

impl Install {
    /// When each job runs, and what it does.
    fn works(&self, settings: &Settings) -> Vec<(&str, Work)> {
        let end_inactive = Work {
            threshold: self.minutes.unwrap_or(settings.minutes),
            include_idle: self.include_idle.unwrap_or(settings.include_idle),
            ..Work::of(&END_INACTIVE)
        };
        let cleanup = Work {
            threshold: self.days.unwrap_or(settings.days),
            keep_referenced: self.keep_referenced.unwrap_or(settings.keep_referenced),
            ..Work::of(&CLEANUP)
        };
        let anonymize = self.anonymize.anonymize.as_deref();
        let anonymize = anonymize.map(|schedule| (schedule, self.anonymize.work(settings)));
        let always = [
            (self.end_inactive.as_str(), end_inactive),
            (self.cleanup.as_str(), cleanup),
        ];
        always.into_iter().chain(anonymize).collect()
    }

    fn jobs(&self, settings: &Settings) -> Vec<Job> {
        let works = self.works(settings).into_iter().map(|(schedule, work)| Job {
            name: work.job.cron_job,
            schedule: schedule.into(),
            command: work.job.cron_command(CronArguments::of(&work)),
        });
        let (name, schedule, command) = CRON_HISTORY;
        let history = Job {
            name,
            schedule: schedule.into(),
            command: command.into(),
        };
        works.chain([history]).collect()
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
        for (_, work) in self.works(settings) {
            match narrower(database, &work, None).await {
                Ok(None) => {}
                Ok(question) => return Ok(question),
                Err(error) => return Err(database.explain(error, FAILED).await),
            }
        }
        Ok(None)
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
