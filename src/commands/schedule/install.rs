//! `sessctl schedule install`: creates the two jobs, or changes them in place.

use std::io;

use clap::Args as ClapArgs;
use serde::Serialize;
use tokio_postgres::types::Type;

use crate::database::{Database, QueryError};
use crate::failure::Failure;
use crate::output::{Page, Report, Style};

/// The most sessions of one run. A run is one transaction under the server's statement_timeout (two minutes on the
/// platform); a backlog drains over several runs.
const SWEEP_LIMIT: i32 = 50_000;
const CLEANUP_LIMIT: i32 = 500_000;

#[derive(ClapArgs, Debug)]
pub(super) struct Install {
    /// When to end inactive sessions, as cron has it
    #[arg(long, value_name = "SCHEDULE", default_value = "*/5 * * * *")]
    end_inactive: String,
    /// Minutes without a sign of life
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(i32).range(1..=5_256_000))]
    minutes: i32,
    /// When to delete old sessions, as cron has it (UTC on the platform)
    #[arg(long, value_name = "SCHEDULE", default_value = "17 3 * * *")]
    cleanup: String,
    /// Days since a session ended
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(i32).range(1..=36_500))]
    days: i32,
    /// Print the SQL, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// A job: its name, when it runs, what it runs.
#[derive(Serialize)]
struct Job {
    name: &'static str,
    schedule: String,
    command: String,
}

impl Install {
    fn jobs(&self) -> [Job; 2] {
        // One row comes back for each session, so that pg_cron's log says how many there were.
        let command = |call: String| format!("select from generate_series(1, {call})");
        [
            Job {
                name: "sessctl-end-inactive",
                schedule: self.end_inactive.clone(),
                command: command(format!("sessctl.end_inactive({}, {SWEEP_LIMIT})", self.minutes)),
            },
            Job {
                name: "sessctl-cleanup",
                schedule: self.cleanup.clone(),
                command: command(format!("sessctl.cleanup({}, {CLEANUP_LIMIT})", self.days)),
            },
        ]
    }

    /// What a run would schedule.
    pub(super) fn plan(&self) -> Installed {
        Installed {
            jobs: self.jobs(),
            dry_run: true,
        }
    }

    /// Both jobs or none.
    pub(super) async fn run(&self, database: &Database) -> Result<Installed, Failure> {
        let failed = |error: QueryError| error.explain("can't schedule");
        database.begin().await.map_err(failed)?;
        let jobs = self.jobs();
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
    jobs: [Job; 2],
    dry_run: bool,
}

impl Report for Installed {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        for job in &self.jobs {
            if self.dry_run {
                let quoted =
                    [job.name, &job.schedule, &job.command].map(|text| format!("'{}'", text.replace('\'', "''")));
                out.line(&format!("select cron.schedule({});", quoted.join(", ")))?;
            } else {
                let line = format!("scheduled {} at \"{}\": {}", job.name, job.schedule, job.command);
                out.raw(&out.paint(Style::Good, &line))?;
            }
        }
        Ok(())
    }
}
