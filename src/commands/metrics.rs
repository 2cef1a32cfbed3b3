//! `sessctl metrics`: the numbers of sessions, jobs and table, as a monitoring system collects them.

mod families;
mod measured;
mod rows;

use std::io;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args as ClapArgs;
use serde::Serialize;

use families::families;
use measured::{Days, Measured};

use super::Context;
use crate::failure::{Failure, exit};
use crate::output::{Done, Family, Page, Report, exposition, replace};
use crate::schema::Team;

/// Print metrics in the OpenMetrics text format
///
/// Active, idle and due sessions by platform, and of each job the last success, the runs, the sessions done and how long the
/// oldest session has been due; size and dead rows of the table; whether the schema is up to date. It changes nothing. What
/// this role can't read is left out, with a warning; the record of the jobs must be readable.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Examples:\n  sessctl metrics\n  sessctl metrics --output /var/lib/node_exporter/sessctl.prom")]
pub struct Args {
    /// Replace this file in one step, as the node exporter's textfile collector needs it; on an error it stays as it is
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Args {
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let settings = context.settings()?;
        let days = Days {
            minutes: settings.minutes,
            anonymize: settings.anonymize_days,
            cleanup: settings.days,
        };
        let team = Team {
            allow: settings.allow,
            declared: settings.declared,
            ..Team::default()
        };
        let database = context.connect("metrics").await?;
        let measured = Measured::read(&database, &days, &team).await?;
        database.close().await;
        for missing in &measured.missing {
            context.terminal.warn(missing);
        }
        let metrics = families(&measured);
        let Some(file) = &self.output else {
            return Ok(Box::new(Metrics { metrics }));
        };
        replace(file, &exposition(&metrics)).map_err(|error| {
            Failure::new(format!("can't write {}: {error}", file.display()))
                .hint("the file is as it was; the folder must exist, and this user be allowed to write into it")
                .because(error)
        })?;
        Ok(Box::new(Done { code: exit::DONE }))
    }
}

#[derive(Serialize)]
struct Metrics {
    metrics: Vec<Family>,
}

impl Report for Metrics {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        out.lines(&exposition(&self.metrics))
    }
}
