//! The command line: what every command takes, and the list of commands.

use std::cell::OnceCell;
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::commands::{
    self, Context, anonymize, cleanup, demo, doctor, end_inactive, export, generate, migrate, sandbox, schedule, stats,
    status, summary, verify,
};
use crate::config;
use crate::failure::Failure;
use crate::output::{Color, Format, Report, Terminal, help_color, inert, unsupported};
use crate::signals::StopSignal;

/// Keeps the user_sessions table of a Supabase project.
#[derive(Parser)]
#[command(name = "sessctl", version, about, max_term_width = 100, color = help_color())]
#[command(
    after_help = "Exit codes: 0 done, 1 a check said no, 2 usage, 3 failed, 130 interrupted.\n\
    Connection: --database-url, else DATABASE_URL, else SUPABASE_DB_URL, else either of them in a .env file.\n\
    Settings: a flag, else the environment, else sessctl.toml, else the default; sessctl config shows them."
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Global {
    #[command(flatten)]
    connection: config::Args,
    /// File of settings, instead of SESSCTL_CONFIG or of sessctl.toml in this folder or above
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    config: Option<PathBuf>,
    /// How the result is written to standard output
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    format: Format,
    /// Write nothing at all on success
    #[arg(long, short, global = true, help_heading = "Output")]
    quiet: bool,
    /// Show the whole chain of an error, with its SQLSTATE
    #[arg(long, short, global = true, help_heading = "Output")]
    verbose: bool,
    /// When to use colour
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Output"
    )]
    color: Color,
}

#[derive(Debug, Subcommand)]
enum Command {
    Migrate(migrate::Args),
    Export(export::Args),
    EndInactive(end_inactive::Args),
    Anonymize(anonymize::Args),
    Cleanup(cleanup::Args),
    Summary(summary::Args),
    Stats(stats::Args),
    Verify(verify::Args),
    Status(status::Args),
    Doctor(doctor::Args),
    Schedule(schedule::Args),
    Config(commands::config::Args),
    Sandbox(sandbox::Args),
    Demo(demo::Args),
    Completions(generate::Completions),
    Man(generate::Man),
}

impl Command {
    /// Refuses a format that the command's result does not have, before anything is done.
    fn check(&self, format: Format) -> Result<(), Failure> {
        let has_rows = matches!(
            self,
            Self::Summary(_) | Self::Stats(_) | Self::Verify(_) | Self::Status(_) | Self::Doctor(_) | Self::Config(_)
        ) || matches!(self, Self::Schedule(schedule) if schedule.is_list());
        match format {
            Format::Csv if !has_rows => Err(unsupported("csv")),
            Format::Github if !matches!(self, Self::Verify(_)) => Err(unsupported("github")),
            _ => Ok(()),
        }
    }
}

impl Cli {
    /// The terminal, or what stands in for it, as the flags want it used.
    pub fn terminal(&self) -> Terminal {
        Terminal::new(
            self.global.format,
            self.global.color,
            self.global.quiet,
            self.global.verbose,
        )
    }

    /// Runs the command to its result.
    ///
    /// # Errors
    /// The command's.
    pub fn run(self, terminal: &Terminal) -> Result<Box<dyn Report>> {
        let stop = StopSignal::listen()?;
        self.command.check(terminal.format())?;
        // One thread: whatever waits here waits for the database, and a second one would only cost its start.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("can't start")?;
        let context = Context {
            connection: &self.global.connection,
            config: self.global.config.as_deref(),
            terminal,
            canceller: OnceCell::new(),
            stop,
        };
        let result = runtime.block_on(async {
            match self.command {
                Command::Migrate(args) => args.run(&context).await,
                Command::Export(args) => args.run(&context),
                Command::EndInactive(args) => args.run(&context).await,
                Command::Anonymize(args) => args.run(&context).await,
                Command::Cleanup(args) => args.run(&context).await,
                Command::Summary(args) => args.run(&context).await,
                Command::Stats(args) => context.until_stopped(args.run(&context)).await,
                Command::Verify(args) => context.until_stopped(args.run(&context)).await,
                Command::Status(args) => context.until_stopped(args.run(&context)).await,
                Command::Doctor(args) => context.until_stopped(args.run(&context)).await,
                Command::Schedule(args) => context.until_stopped(args.run(&context)).await,
                Command::Config(args) => args.run(&context),
                Command::Sandbox(args) => args.run(&context).await,
                Command::Demo(args) => args.run(&context).await,
                Command::Completions(args) => args.run(Self::command()),
                Command::Man(args) => args.run(Self::command()),
            }
        });
        // A name lookup that was given up still blocks a thread.
        runtime.shutdown_background();
        result
    }
}

/// Writes what clap answers: help and version, or why it refuses the arguments. A refusal shows an argument in one line, and
/// not at all where it may hold a password.
///
/// # Errors
/// The writer's.
pub fn print(mut answer: clap::Error) -> io::Result<()> {
    let harmless = |text: &String| match ["://", "@", "pass", "host="].iter().any(|mark| text.contains(mark)) {
        true => "…".to_owned(),
        false => inert(text),
    };
    let changed: Vec<(ContextKind, ContextValue)> = answer
        .context()
        .filter_map(|(kind, value)| {
            let shown = match value {
                ContextValue::String(text) => ContextValue::String(harmless(text)),
                ContextValue::Strings(texts) => ContextValue::Strings(texts.iter().map(harmless).collect()),
                _ => return None,
            };
            (shown != *value).then_some((kind, shown))
        })
        .collect();
    for (kind, shown) in changed {
        answer.insert(kind, shown);
        // What is suggested repeats the argument.
        answer.insert(ContextKind::Suggested, ContextValue::None);
    }
    answer.print()
}
