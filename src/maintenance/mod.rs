//! What a sweep and a cleanup share: batches in transactions of their own, until the pass has reached its end.
//!
//! A batch is one round trip, its commit another: a count is known before its commit is sent, so that after a lost
//! connection the server can be asked which batches count.

mod candidates;
mod fault;
mod ledger;
mod outcome;
mod run;

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args as ClapArgs;
use humantime::Duration as HumanDuration;
use serde::Deserialize;
use tokio_postgres::types::Type;

use candidates::{List, Pass};
use fault::{Fault, pause};
use ledger::{Ledger, Tally};
use run::{End, Run, StopSignal};

pub use outcome::Outcome;

use crate::commands::{Context, interrupted};
use crate::database::{Database, Parameter, QueryError};
use crate::failure::Failure;

/// A commit that does not wait for the disk. The last one does, and flushes all before it.
const COMMIT_UNFLUSHED: &str = "set local synchronous_commit = off; commit";

/// A transaction that writes nothing but a word into the log: its commit flushes those before it. One that wrote nothing at
/// all would not, even with a transaction id.
const FLUSH: &str = "select pg_catalog.pg_logical_emit_message(true, 'sessctl', '')";

/// How long a batch should take; the next one is made larger or smaller by it.
const BATCH_TARGET: Duration = Duration::from_millis(250);

/// What the time a batch took does not make it smaller than.
const LEAST_ROWS: i32 = 500;

/// How long a stop may wait for the batch at work before it is cancelled.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// How long a run that is out of time may count what it leaves.
const COUNT_PATIENCE: Duration = Duration::from_secs(5);

/// The longest pause between two attempts to reconnect.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The options that every maintenance command has.
#[derive(ClapArgs, Debug)]
pub struct Options {
    /// Count what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Pause between two batches
    #[arg(long, value_name = "TIME", default_value = "0s")]
    pub pause: HumanDuration,
    /// Stop after this time, between two batches; the next run goes on
    #[arg(long, value_name = "TIME")]
    pub max_runtime: Option<HumanDuration>,
    /// How often in a row a lost connection, a deadlock or a lock timeout is tried again
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub max_retries: u32,
}

/// One kind of maintenance: its words, its SQL, its parameters.
pub struct Job<'a> {
    /// The command's name.
    pub command: &'static str,
    /// What is done to a session, in the past tense; the key of the count in JSON.
    pub done: &'static str,
    /// The same after "would".
    pub would: &'static str,
    /// Which sessions: what stands before the cutoff in a sentence.
    pub which: &'static str,
    /// Gives the cutoff, whether anything is due, and the first list. $1 is `limit`, then `extra`.
    pub look: &'static str,
    /// Lists what is due behind what was listed before, where batches take from a list. $1 cutoff, $2 the last one
    /// listed, then `extra`.
    pub list: Option<&'static str>,
    /// Does one batch. $1 cutoff, $2 most rows, $3 the position, or the rows from the list, then `extra`.
    pub batch: &'static str,
    /// Counts what would be done. $1 cutoff, then `extra`.
    pub count: &'static str,
    /// Minutes or days.
    pub limit: i32,
    /// Further parameters of all four statements.
    pub extra: Vec<Parameter<'a>>,
    /// The most rows of a batch.
    pub batch_size: i32,
    /// The most rows of the first one, which knows nothing yet of how long they take.
    pub first_batch: i32,
}

#[derive(Deserialize)]
struct Look {
    cutoff: String,
    due: bool,
    #[serde(default)]
    list: List,
}

#[derive(Default, Deserialize)]
struct Batch {
    position: Option<String>,
    affected: u64,
    #[serde(default)]
    finished: bool,
    skipped: bool,
    transaction: Option<String>,
}

impl Job<'_> {
    /// Runs the job to its end, or as far as the options and the world let it.
    ///
    /// # Errors
    /// The server's or the connection's, where trying again is no use; the message says how far the run got.
    pub async fn run(&self, options: &Options, context: &Context<'_>) -> Result<Outcome> {
        let start = Instant::now();
        let mut database = context.connect_to_change(self.command).await?;
        let target = database.target().clone();
        let cancel = database.canceller();
        let mut stop: StopSignal = Box::pin(interrupted());
        let look = tokio::select! {
            look = self.look(&mut database, options.max_retries) => look?,
            stopped = &mut stop => {
                stopped?;
                cancel.cancel().await;
                return Err(Failure::interrupted("stopped before anything was done").into());
            }
        };
        let mut outcome = Outcome {
            done: self.done,
            would: self.would,
            which: self.which,
            tally: Tally::default(),
            cutoff: look.cutoff,
            dry_run: options.dry_run,
            elapsed: Duration::ZERO,
            skipped: false,
            interrupted: false,
            out_of_time: false,
            left: None,
        };
        if options.dry_run {
            outcome.tally.rows = tokio::select! {
                rows = self.count(&database, &outcome.cutoff) => rows?,
                stopped = &mut stop => {
                    stopped?;
                    database.canceller().cancel().await;
                    return Err(Failure::interrupted("stopped while counting; nothing was changed").into());
                }
            };
            database.close().await;
        } else if look.due {
            let mut run = Run {
                job: self,
                options,
                target: &target,
                terminal: context.terminal,
                database,
                ledger: Ledger::default(),
                position: None,
                list: look.list,
                pass: Pass::default(),
                rows: self.batch_size.min(self.first_batch),
                most_rows: self.batch_size,
                failures: 0,
            };
            let end = run.run_to_its_end(&outcome.cutoff, start, stop).await?;
            outcome.tally = run.ledger.total();
            match end {
                End::Finished => {}
                End::Skipped => outcome.skipped = true,
                End::Interrupted => outcome.interrupted = true,
                End::OutOfTime { left } => {
                    outcome.out_of_time = true;
                    outcome.left = left;
                }
            }
            run.database.close().await;
        } else {
            database.close().await;
        }
        outcome.elapsed = start.elapsed();
        Ok(outcome)
    }

    /// The first look; a connection lost meanwhile is made anew, as often as the options say.
    async fn look(&self, database: &mut Database, max_retries: u32) -> Result<Look, Failure> {
        let mut parameters: Vec<Parameter<'_>> = vec![(&self.limit, Type::INT4)];
        parameters.extend(self.extra.iter().cloned());
        let mut failures = 0;
        loop {
            match database.json(self.look, &parameters).await {
                Ok(look) => return Ok(look),
                Err(QueryError::Server(error)) if Fault::of(&error).is_passing() && failures < max_retries => {
                    failures += 1;
                    tokio::time::sleep(pause(failures)).await;
                    if Fault::of(&error) != Fault::Lost {
                        database.run("rollback").await.ok();
                        continue;
                    }
                    match Database::connect(&database.target().clone(), self.command).await {
                        Ok(new) => *database = new,
                        // The old one fails again, and so comes back here.
                        Err(failure) if failure.is_passing() => {}
                        Err(failure) => return Err(failure),
                    }
                }
                Err(error) => return Err(database.explain(error, &format!("{} failed", self.command)).await),
            }
        }
    }

    async fn count(&self, database: &Database, cutoff: &str) -> Result<u64, Failure> {
        let mut parameters: Vec<Parameter<'_>> = vec![(&cutoff, Type::TEXT)];
        parameters.extend(self.extra.iter().cloned());
        let what = format!("{}: can't count", self.command);
        database.ask(self.count, &parameters, &what).await
    }
}
