//! The command line: what every command takes, and the list of commands.

use std::cell::OnceCell;
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::{
    self, Context, anonymize, cleanup, demo, doctor, end_inactive, export, generate, metrics, migrate, sandbox,
    schedule, stats, status, summary, verify,
};
use crate::config;
use crate::failure::Failure;
use crate::output::{Color, Format, Report, Terminal, help_color, inert, unsupported};
use crate::signals::StopSignal;

/// Maintains the user_sessions table of a Supabase project.
#[derive(Parser)]
#[command(name = "sessctl", version, about, max_term_width = 100, color = help_color())]
#[command(
    after_help = "Exit codes: 0 done, 1 a check failed, 2 usage, 3 failed, 130 interrupted.\n\
    Connection: --database-url, else DATABASE_URL, else SUPABASE_DB_URL, else one of these two in a .env file.\n\
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
    /// Settings file (default SESSCTL_CONFIG, else the nearest sessctl.toml)
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection and output")]
    config: Option<PathBuf>,
    /// Format of the result on standard output
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        help_heading = "Connection and output"
    )]
    format: Format,
    /// Write nothing on success
    #[arg(long, short, global = true, help_heading = "Connection and output")]
    quiet: bool,
    /// Show every cause of an error, with its SQLSTATE
    #[arg(long, short, global = true, help_heading = "Connection and output")]
    verbose: bool,
    /// Colour of the output
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Connection and output"
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
    Metrics(metrics::Args),
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

/// The command line with a help that fits on a screen: the manual page and docs/commands.md have the rest.
fn brief(command: clap::Command) -> clap::Command {
    let brief_argument = |argument: Arg| {
        let argument = argument.long_help(None::<&str>);
        if !argument.get_action().takes_values() {
            return argument;
        }
        let argument = argument.hide_possible_values(true);
        let values = argument.get_possible_values();
        let names: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
        match names[..] {
            [] | [_] | ["true", "false"] => argument,
            _ => {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                argument.help(format!("{help}: {}", names.join(", ")))
            }
        }
    };
    command
        .long_about(None::<&str>)
        .mut_args(brief_argument)
        .mut_subcommands(brief)
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
    /// Reads the program's arguments.
    ///
    /// # Errors
    /// What clap refuses, help and version among it.
    pub fn from_arguments() -> Result<Self, clap::Error> {
        let matches = brief(Self::command()).try_get_matches()?;
        Self::from_arg_matches(&matches)
    }

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
                Command::Metrics(args) => context.until_stopped(args.run(&context)).await,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_two_examples_that_can_be_typed() {
        for command in Cli::command()
            .get_subcommands()
            .filter(|command| command.get_name() != "man")
        {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  ")).collect();
            assert!(examples.len() >= 2, "{}", command.get_name());
            for example in examples {
                let parsed = Cli::command().try_get_matches_from(example.split(' '));
                let parsed = parsed.unwrap_or_else(|error| panic!("{example}: {error}"));
                assert_eq!(parsed.subcommand_name(), Some(command.get_name()));
            }
        }
    }

    #[test]
    fn the_help_of_a_command_fits_on_a_screen() {
        for command in Cli::command().get_subcommands() {
            let asked = brief(Cli::command()).try_get_matches_from(["sessctl", command.get_name(), "--help"]);
            let help = asked.unwrap_err().to_string();
            let (own, _) = help.split_once("Connection and output:").unwrap();
            assert!(own.lines().count() <= 40, "{help}");
        }
    }
}
