//! What end-inactive, anonymize and cleanup share: their options, the run, and its report.

use std::io;
use std::time::Duration;

use anyhow::Result;
use clap::Args as ClapArgs;
use tokio::time::{Instant, timeout_at};

use super::Context;
use super::pinging::{PingOptions, Pinger};
use super::settings::Settings;
use crate::config::{Target, duration};
use crate::failure::Failure;
use crate::maintenance::{self, Event, Outcome, TIME_GRACE, Work};
use crate::output::{Page, Report, Style};

/// The options that every maintenance command has.
#[derive(ClapArgs, Debug)]
pub(super) struct Options {
    /// Count what would be done; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Pause between two batches
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0s")]
    pause: Duration,
    /// Stop after this time; the next run continues
    #[arg(long, value_name = "TIME", value_parser = duration)]
    max_runtime: Option<Duration>,
    /// Retries in a row after a lost connection, a deadlock or a lock timeout
    #[arg(long, value_name = "N", default_value_t = 5)]
    max_retries: u32,
    /// Wait between two batches while a replica lags more than this
    #[arg(long, value_name = "TIME", value_parser = duration)]
    max_lag: Option<Duration>,
    #[command(flatten)]
    ping: PingOptions,
}

impl Options {
    /// Does the work between its pings. `ping_variable`: what sessctl.toml names for this job, or empty.
    pub(super) async fn run(
        &self,
        work: &Work,
        is_confirmed: bool,
        ping_variable: &str,
        settings: &Settings,
        context: &Context<'_>,
    ) -> Result<Box<dyn Report>> {
        let target = context.connection.target(context.terminal);
        let root = target.as_ref().ok().and_then(|target| target.tls.root.as_ref());
        let pinger = match self.dry_run {
            true => Pinger::silent(context),
            false => self.ping.pinger(ping_variable, settings, root, context),
        };
        pinger.start().await;
        let outcome = match target {
            Ok(target) => self.maintain(work, is_confirmed, &target, context).await,
            Err(error) => Err(error),
        };
        pinger.end(outcome.as_ref().ok()).await;
        Ok(Box::new(outcome?))
    }

    /// Does the work, with its progress on the terminal.
    async fn maintain(
        &self,
        work: &Work,
        is_confirmed: bool,
        target: &Target,
        context: &Context<'_>,
    ) -> Result<Outcome> {
        let options = maintenance::Options {
            dry_run: self.dry_run,
            pause: self.pause,
            deadline: self.max_runtime.map(|limit| Instant::now() + limit),
            max_retries: self.max_retries,
            max_lag: self.max_lag,
        };
        let connecting = context.change(target, work.job.name);
        let database = match options.deadline {
            Some(deadline) => timeout_at(deadline + TIME_GRACE, connecting).await.map_err(|_| {
                Failure::new(format!(
                    "{}: no connection before --max-runtime was over",
                    work.job.name
                ))
            })?,
            None => connecting.await,
        }?;
        let bar = context.terminal.counter(&format!("sessions {}", work.job.done));
        let observe = |event: Event<'_>| match event {
            Event::Progress(rows) => bar.set_position(rows),
            Event::Note(text) => context.terminal.note(text),
            Event::Command(line) => context.terminal.note(&format!("archive-command: {line}")),
        };
        let confirm = async |question: &str| match is_confirmed {
            true => Ok(()),
            false => context.confirm(question).await,
        };
        let outcome = maintenance::run(work, &options, database, &context.stop, &observe, confirm).await;
        bar.finish_and_clear();
        let outcome = outcome?;
        for line in outcome.failures().lines() {
            context
                .terminal
                .error_line(&format!("{} could not do {line}", work.job.name));
        }
        if let Some(hint) = outcome.failures().hint() {
            context.terminal.hint_line(hint);
        }
        if let Some(other) = outcome.other() {
            let sentence = other.sentence(outcome.job());
            if other.is_stuck() {
                context.terminal.error_line(&sentence);
                context.terminal.hint_line(&other.hint());
            } else if other.is_repeated() {
                context.terminal.warn_always(&sentence);
            }
        }
        Ok(outcome)
    }
}

impl Report for Outcome {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        let style = if self.is_complete() {
            Style::Good
        } else {
            Style::Warning
        };
        out.line(out.paint(style, &self.sentence()))
    }

    fn code(&self) -> u8 {
        Outcome::code(self)
    }
}
