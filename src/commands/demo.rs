//! `sessctl demo`: the whole job on a sandbox, command by command.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context as _, Result};
use clap::Args as ClapArgs;
use tempfile::TempDir;

use super::Context;
use super::sandbox::{Shape, command_for};
use crate::config::Target;
use crate::database::Database;
use crate::failure::{Failure, exit};
use crate::output::{Done, Report, Style, is_broken_pipe, paint};
use crate::sandbox::Sandbox;

/// What is shown, in the order a user would type it. The sample data comes after the first.
const STEPS: [&[&str]; 6] = [
    &["migrate"],
    &["summary"],
    &["end-inactive", "--minutes", "60"],
    &["cleanup", "--days", "90"],
    &["summary"],
    &["verify"],
];

/// Run the main commands on a temporary local PostgreSQL
///
/// At the end it prints the path of a page with charts, in a new folder for temporary files. Only that page stays.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Examples:\n  sessctl demo\n  sessctl demo --grants open")]
pub struct Args {
    #[command(flatten)]
    shape: Shape,
}

impl Args {
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        tokio::select! {
            // First: after initdb, which blocks, nothing more is begun.
            biased;
            () = context.stop.requested() => {
                Err(Failure::interrupted("stopped; the sandbox is gone with everything in it").into())
            }
            shown = self.show(context) => match shown {
                Err(error) if is_broken_pipe(&error) => Ok(Box::new(Done { code: exit::DONE })),
                other => other,
            },
        }
    }

    /// A folder for the report that only this user can see into. It goes with the value, unless it is kept.
    fn folder() -> io::Result<TempDir> {
        // Digits alone, so that the demo prints the same each time but for numbers.
        let prefix = format!("sessctl-report-{:08}", fastrand::u32(0..100_000_000));
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix(&prefix).rand_bytes(0);
        builder.permissions(Permissions::from_mode(0o700)).tempdir()
    }

    async fn show(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let terminal = context.terminal;
        let mut out = io::stdout();
        terminal.note("starting a temporary PostgreSQL in the shape of a Supabase project");
        let sandbox = Sandbox::start(&self.shape.options()).await?;
        let program = std::env::current_exe().context("can't find this program's file")?;
        let color = if terminal.styled() { "always" } else { "never" };
        let run = async |step: &[&str]| -> Result<()> {
            let typed = format!("$ sessctl {}", step.join(" "));
            writeln!(io::stdout(), "\n{}", paint(terminal.styled(), Style::Bold, &typed))?;
            let status = command_for(&sandbox, &program)
                .args(step)
                .args(["--color", color])
                .status()
                .await
                .context("can't run this program again")?;
            match status.success() {
                true => Ok(()),
                false => Err(Failure::new(format!("the demo's step failed: sessctl {}", step.join(" "))).into()),
            }
        };
        for (number, step) in STEPS.iter().enumerate() {
            run(step).await?;
            if number == 0 {
                fill(&sandbox).await?;
                terminal.note("(6,000 sample sessions of 800 users arrive)");
            }
        }
        let folder = Self::folder().context("can't make a folder for the report")?;
        let report = folder.path().join("report.html").display().to_string();
        run(&["stats", "--html", &report]).await?;
        let _ = folder.keep();
        writeln!(
            out,
            "\nFor your own database, with the connection string that the dashboard shows under Connect:\n\n  \
             export DATABASE_URL='postgresql://…'\n  sessctl migrate --dry-run\n\n\
             The report with charts, for a browser:\n{report}"
        )?;
        Ok(Box::new(Done { code: exit::DONE }))
    }
}

async fn fill(sandbox: &Sandbox) -> Result<()> {
    let database = Database::connect(&Target::from_string(&sandbox.url())?, "demo").await?;
    let filled = database.run(include_str!("../sandbox/sample.sql")).await;
    filled.context("can't write the sample sessions")?;
    database.close().await;
    Ok(())
}
