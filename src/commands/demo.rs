//! `sessctl demo`: the whole job on a sandbox, command by command.

use std::io::{self, Write};

use anyhow::{Context as _, Result};
use clap::Args as ClapArgs;

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

    async fn show(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let terminal = context.terminal;
        let mut out = io::stdout();
        terminal.note("starting a temporary PostgreSQL in the shape of a Supabase project");
        let sandbox = Sandbox::start(&self.shape.options()).await?;
        let program = std::env::current_exe().context("can't find this program's file")?;
        let color = if terminal.styled() { "always" } else { "never" };
        for (number, step) in STEPS.iter().enumerate() {
            let typed = format!("$ sessctl {}", step.join(" "));
            writeln!(out, "\n{}", paint(terminal.styled(), Style::Bold, &typed))?;
            let status = command_for(&sandbox, &program)
                .args(*step)
                .args(["--color", color])
                .status()
                .await
                .context("can't run this program again")?;
            if !status.success() {
                return Err(Failure::new(format!("the demo's step failed: sessctl {}", step.join(" "))).into());
            }
            if number == 0 {
                fill(&sandbox).await?;
                terminal.note("(6,000 sample sessions of 800 users arrive)");
            }
        }
        writeln!(
            out,
            "\nFor your own database, with the connection string that the dashboard shows under Connect:\n\n  \
             export DATABASE_URL='postgresql://…'\n  sessctl migrate --dry-run"
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
