//! What a sweep and a cleanup share: batches in transactions of their own, until the pass has reached its end.
//!
//! A batch is one round trip, its commit another: a count is known before its commit is sent, so that after a lost
//! connection the server can be asked which batches count.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args as ClapArgs;
use humantime::Duration as HumanDuration;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio_postgres::Error;
use tokio_postgres::types::Type;

use super::{Context, Stop, interrupted};
use crate::config::Target;
use crate::database::{Database, Parameter, QueryError, explain};
use crate::failure::{Failure, exit};
use crate::output::{Json, Page, Report, Style, Terminal, count};

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

/// Rows that are due, in the order they are stored.
#[derive(Deserialize)]
struct List {
    /// Their places, a space between two.
    rows: String,
    /// Nothing is due behind them.
    complete: bool,
    /// How much of the text has been done.
    #[serde(default)]
    done: usize,
}

/// Nothing listed yet.
impl Default for List {
    fn default() -> Self {
        Self {
            rows: "(0,0)".into(),
            complete: false,
            done: "(0,0)".len(),
        }
    }
}

impl List {
    fn is_done(&self) -> bool {
        self.done >= self.rows.len()
    }

    /// Keeps the last one alone, so that two lists are never held at once.
    fn forget(&mut self) {
        self.rows = self.rows.rsplit(' ').next().unwrap_or_default().into();
        self.done = self.rows.len();
    }

    /// The next rows, at most so many.
    fn next(&self, most: i32) -> &str {
        let rest = &self.rows[self.done..];
        let most = usize::try_from(most).unwrap_or(1).max(1);
        rest.match_indices(' ')
            .nth(most - 1)
            .map_or(rest, |(end, _)| &rest[..end])
    }

    /// The next rows have been done; their text is so long.
    fn advance(&mut self, length: usize) {
        self.done += length + 1;
    }
}

/// How far one walk through the table's lists got.
#[derive(Default)]
struct Pass {
    listed: u64,
    done: u64,
}

impl Pass {
    /// Whether another walk may find more: rows were elsewhere or held when their turn came (a table that was rewritten
    /// meanwhile has all of them elsewhere). One that did nothing is the last.
    fn is_worth_another(&self) -> bool {
        self.done > 0 && self.done < self.listed
    }
}

/// What a run did.
pub struct Outcome {
    done: &'static str,
    would: &'static str,
    which: &'static str,
    tally: Tally,
    cutoff: String,
    dry_run: bool,
    elapsed: Duration,
    skipped: bool,
    interrupted: bool,
    out_of_time: bool,
    left: Option<u64>,
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

/// Sessions done, in how many batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    rows: u64,
    batches: u64,
}

/// What has been done, kept so that it can be put right: a batch whose commit was not seen, or may have been lost with
/// a crash before it reached the disk, counts if the server says that its transaction committed.
#[derive(Debug, Default)]
struct Ledger {
    flushed: Tally,
    /// Committed, not known to be on disk: transaction and count.
    open: Vec<(String, u64)>,
    /// Its commit was sent, and no answer has come.
    in_doubt: Option<(String, u64)>,
}

impl Ledger {
    /// Without the batch in doubt.
    fn total(&self) -> Tally {
        Tally {
            rows: self.flushed.rows + self.open.iter().map(|(_, rows)| rows).sum::<u64>(),
            batches: self.flushed.batches + self.open.len() as u64,
        }
    }

    /// The batch in doubt has committed.
    fn confirm(&mut self) {
        self.open.extend(self.in_doubt.take());
    }

    /// Everything so far is on the server's disk.
    fn flush(&mut self) {
        self.flushed = self.total();
        self.open.clear();
    }

    fn transactions(&self) -> Vec<&str> {
        self.open
            .iter()
            .chain(&self.in_doubt)
            .map(|(transaction, _)| transaction.as_str())
            .collect()
    }

    fn settle(&mut self, states: &HashMap<String, String>) {
        self.confirm();
        self.open
            .retain(|(transaction, _)| states.get(transaction).is_some_and(|state| state == "committed"));
    }
}

/// A run at work.
struct Run<'a> {
    job: &'a Job<'a>,
    options: &'a Options,
    target: &'a Target,
    terminal: &'a Terminal,
    database: Database,
    ledger: Ledger,
    position: Option<String>,
    list: List,
    pass: Pass,
    rows: i32,
    /// The most rows of a batch: as asked for, or what the server's statement_timeout lets pass.
    most_rows: i32,
    /// Failures since the last batch that worked.
    failures: u32,
}

/// How a run came to its end.
enum End {
    Finished,
    Skipped,
    Interrupted,
    /// How many are left, where the server could count them.
    OutOfTime {
        left: Option<u64>,
    },
}

type StopSignal = Pin<Box<dyn Future<Output = Result<Stop, Failure>>>>;

impl Run<'_> {
    async fn run_to_its_end(&mut self, cutoff: &str, start: Instant, mut stop: StopSignal) -> Result<End, Failure> {
        let bar = self.terminal.counter(&format!("sessions {}", self.job.done));
        let end = loop {
            let begun = Instant::now();
            let (result, stopped) = self.batch_or_stop(cutoff, &mut stop).await?;
            bar.set_position(self.ledger.total().rows);
            match result {
                Ok(batch) if batch.finished => break End::Finished,
                Ok(batch) if batch.skipped => break End::Skipped,
                Ok(batch) => {
                    self.failures = 0;
                    self.position = batch.position;
                    self.adapt(begun.elapsed());
                }
                Err(_) if stopped => {
                    // Cancelled, or failed while it was about to be: nothing of it stays, and nothing is tried again.
                    self.abandon().await;
                }
                Err(error) => {
                    let recovered = tokio::select! {
                        recovered = self.recover(error) => Some(recovered),
                        stopped = &mut stop => {
                            stopped?;
                            None
                        }
                    };
                    match recovered {
                        Some(recovered) => recovered?,
                        None => break End::Interrupted,
                    }
                }
            }
            if stopped {
                break End::Interrupted;
            }
            if self.options.max_runtime.is_some_and(|most| start.elapsed() >= *most) {
                let cancel = self.database.canceller();
                tokio::select! {
                    left = self.job.count(&self.database, cutoff) => break End::OutOfTime { left: left.ok() },
                    () = tokio::time::sleep(COUNT_PATIENCE) => {
                        cancel.cancel().await;
                        break End::OutOfTime { left: None };
                    }
                    stopped = &mut stop => {
                        stopped?;
                        cancel.cancel().await;
                        break End::Interrupted;
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(*self.options.pause), if !self.options.pause.is_zero() => {}
                stopped = &mut stop, if !self.options.pause.is_zero() => {
                    stopped?;
                    break End::Interrupted;
                }
                else => {}
            }
        };
        bar.finish_and_clear();
        if !self.ledger.transactions().is_empty() {
            match self.database.run(FLUSH).await {
                Ok(()) => self.ledger.flush(),
                // A stop does not wait for a server that has gone.
                Err(_) if matches!(end, End::Interrupted) => {}
                Err(error) => self.recover(QueryError::Server(error)).await?,
            }
        }
        Ok(end)
    }

    /// One batch; and whether a signal came meanwhile, in which case it had a second to end by itself.
    async fn batch_or_stop(
        &mut self,
        cutoff: &str,
        stop: &mut StopSignal,
    ) -> Result<(Result<Batch, QueryError>, bool), Failure> {
        let cancel = self.database.canceller();
        let mut batch = Box::pin(self.batch(cutoff));
        tokio::select! {
            result = &mut batch => return Ok((result, false)),
            stopped = stop => {
                stopped?;
            }
        }
        match tokio::time::timeout(STOP_PATIENCE, &mut batch).await {
            Ok(result) => Ok((result, true)),
            Err(_) => {
                cancel.cancel().await;
                Ok((batch.await, true))
            }
        }
    }

    /// One batch, committed.
    async fn batch(&mut self, cutoff: &str) -> Result<Batch, QueryError> {
        while let Some(sql) = self.job.list
            && self.list.is_done()
        {
            if self.list.complete && !self.pass.is_worth_another() {
                return Ok(Batch {
                    finished: true,
                    ..Batch::default()
                });
            }
            if self.list.complete {
                self.begin_anew();
            }
            self.list.forget();
            let mut parameters: Vec<Parameter<'_>> = vec![(&cutoff, Type::TEXT), (&self.list.rows, Type::TEXT)];
            parameters.extend(self.job.extra.iter().cloned());
            self.list = self.database.json(sql, &parameters).await?;
        }
        let place = match self.job.list {
            Some(_) => Some(self.list.next(self.rows)),
            None => self.position.as_deref(),
        };
        let listed = place.map_or(0, str::len);
        let mut parameters: Vec<Parameter<'_>> =
            vec![(&cutoff, Type::TEXT), (&self.rows, Type::INT4), (&place, Type::TEXT)];
        parameters.extend(self.job.extra.iter().cloned());
        let mut batch: Batch = self.database.json_after("", self.job.batch, &parameters).await?;
        let pass = Pass {
            listed: self.pass.listed + place.map_or(0, |rows| rows.matches(' ').count() as u64 + 1),
            done: self.pass.done + batch.affected,
        };
        if self.job.list.is_some() {
            let is_end = self.list.complete && self.list.done + listed == self.list.rows.len();
            batch.finished = is_end && !batch.skipped && !pass.is_worth_another();
        }
        if let Some(transaction) = &batch.transaction {
            self.ledger.in_doubt = Some((transaction.clone(), batch.affected));
        }
        let last = batch.finished || batch.skipped;
        self.database
            .run(if last { "commit" } else { COMMIT_UNFLUSHED })
            .await?;
        self.ledger.confirm();
        if self.job.list.is_some() {
            self.list.advance(listed);
            self.pass = pass;
        }
        // The commit of a transaction that wrote nothing does not flush those before it.
        if last && batch.affected > 0 {
            self.ledger.flush();
        }
        Ok(batch)
    }

    /// The next batch is the first of a walk through the rows.
    fn begin_anew(&mut self) {
        self.position = None;
        self.list = List::default();
        self.pass = Pass::default();
    }

    fn adapt(&mut self, took: Duration) {
        // At most doubled: a quick batch may have had little to do.
        self.scale((BATCH_TARGET.as_secs_f64() / took.as_secs_f64()).min(2.0));
        // What is slow for another reason than its rows gets no faster by ever smaller batches.
        self.rows = self
            .rows
            .max((self.job.batch_size / 16).min(LEAST_ROWS))
            .min(self.most_rows);
    }

    #[allow(clippy::cast_possible_truncation)]
    fn scale(&mut self, factor: f64) {
        self.rows = ((f64::from(self.rows) * factor) as i32).max(1);
    }

    /// Puts the run back on its feet after a failed batch, or says why that is no use.
    async fn recover(&mut self, error: QueryError) -> Result<(), Failure> {
        let error = match error {
            QueryError::Server(error) => error,
            other => return Err(self.give_up(other.explain(&self.failed()))),
        };
        self.failures += 1;
        let fault = Fault::of(&error);
        let hopeless = match fault {
            Fault::Fatal => true,
            Fault::TooSlow => self.rows == 1,
            Fault::Lost | Fault::Contended => self.failures > self.options.max_retries,
        };
        if hopeless {
            self.abandon().await;
            let failure = self.database.explain(error.into(), &self.failed()).await;
            return Err(self.give_up(failure));
        }
        if fault == Fault::TooSlow {
            self.scale(0.5);
            self.most_rows = self.rows;
        } else {
            tokio::time::sleep(pause(self.failures)).await;
        }
        if fault != Fault::Lost && self.database.run("rollback").await.is_ok() && self.settle().await.is_ok() {
            return Ok(());
        }
        self.reconnect(&error).await
    }

    /// A new connection; the pass begins anew there.
    async fn reconnect(&mut self, lost: &Error) -> Result<(), Failure> {
        self.terminal.note("lost the connection, trying again");
        let mut last = explain(lost, &self.failed());
        while self.failures <= self.options.max_retries {
            match Database::connect(self.target, self.job.command).await {
                Ok(database) => {
                    self.database = database;
                    match self.settle().await {
                        Ok(()) => {
                            self.begin_anew();
                            return Ok(());
                        }
                        Err(error) => last = error.explain(&self.failed()),
                    }
                }
                // Wrong credentials stay wrong, and poolers ban who insists.
                Err(failure) if !failure.is_passing() => return Err(self.give_up(failure)),
                Err(failure) => last = failure,
            }
            self.failures += 1;
            tokio::time::sleep(pause(self.failures)).await;
        }
        Err(self.give_up(last))
    }

    /// Asks the server which of the batches in doubt count. One still at work has a while to end.
    async fn settle(&mut self) -> Result<(), QueryError> {
        let deadline = Instant::now() + LONGEST_PAUSE;
        let ids = self.ledger.transactions();
        if ids.is_empty() {
            return Ok(());
        }
        let states = loop {
            let sql = include_str!("settle.sql");
            let states: HashMap<String, String> = self.database.json(sql, &[(&ids, Type::TEXT_ARRAY)]).await?;
            let at_work = states.values().any(|state| state == "in progress");
            if !at_work || Instant::now() > deadline {
                break states;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        self.ledger.settle(&states);
        Ok(())
    }

    /// Ends the open transaction where there is one, and puts the count right, on a last connection if it must be.
    async fn abandon(&mut self) {
        if self.database.run("rollback").await.is_err() {
            match Database::connect(self.target, self.job.command).await {
                Ok(database) => self.database = database,
                Err(_) => return,
            }
        }
        // Where the server can't be asked, the message says what is in doubt.
        let _ = self.settle().await;
    }

    fn failed(&self) -> String {
        format!("{} failed on {}", self.job.command, self.target)
    }

    fn give_up(&self, failure: Failure) -> Failure {
        let done = match (self.ledger.total().rows, &self.ledger.in_doubt) {
            (0, None) => return failure,
            (rows, None) => format!(
                "{} sessions had been {} before, and stay so",
                count(rows),
                self.job.done
            ),
            (rows, Some((_, more))) => format!(
                "{} sessions had been {} before, and {} more if the last commit arrived",
                count(rows),
                self.job.done,
                count(*more)
            ),
        };
        failure.after(&done)
    }
}

/// What a failed batch calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The connection is gone: a new one.
    Lost,
    /// Somebody was in the way: the same again.
    Contended,
    /// The server's statement_timeout: a smaller batch.
    TooSlow,
    /// No use.
    Fatal,
}

impl Fault {
    /// Whether the same may work in a while.
    fn is_passing(self) -> bool {
        matches!(self, Self::Lost | Self::Contended)
    }

    fn of(error: &Error) -> Self {
        let Some(code) = error.code() else {
            return Self::Lost;
        };
        match code.code() {
            // Shutdown, crash, still starting, and the connection exceptions.
            "57P01" | "57P02" | "57P03" => Self::Lost,
            code if code.starts_with("08") => Self::Lost,
            "40P01" | "40001" | "55P03" => Self::Contended,
            "57014" => Self::TooSlow,
            _ => Self::Fatal,
        }
    }
}

/// The pause before attempt `failures`: doubling from 100 ms, with as much again by chance.
fn pause(failures: u32) -> Duration {
    let base = Duration::from_millis(100) * 2_u32.saturating_pow(failures.saturating_sub(1).min(7));
    let chance = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |now| now.subsec_nanos() % 1000);
    (base + base * chance / 1000).min(LONGEST_PAUSE)
}

impl Outcome {
    fn cutoff(&self, form: SecondsFormat) -> String {
        DateTime::parse_from_rfc3339(&self.cutoff).map_or_else(
            |_| self.cutoff.clone(),
            |time| time.with_timezone(&Utc).to_rfc3339_opts(form, true),
        )
    }

    fn sentence(&self) -> String {
        let verb = if self.dry_run { self.would } else { self.done };
        let mut text = format!(
            "{verb} {} {} {} {} ({}{:.1} s)",
            count(self.tally.rows),
            if self.tally.rows == 1 { "session" } else { "sessions" },
            self.which,
            self.cutoff(SecondsFormat::Secs),
            match (self.dry_run, self.tally.batches) {
                (true, _) => "dry run, ".into(),
                (false, 1) => "1 batch, ".into(),
                (false, n) => format!("{} batches, ", count(n)),
            },
            self.elapsed.as_secs_f64(),
        );
        if self.skipped && self.tally.batches == 0 {
            return "another run is at work, nothing done here".into();
        }
        if self.skipped {
            text = format!("{text}; another run is at work, and took over");
        }
        if self.interrupted {
            text = format!("interrupted: {text}; what is done stays");
        }
        if self.out_of_time {
            let left = self
                .left
                .map_or("more may be".into(), |left| format!("about {}", count(left)));
            text = format!("{text}; out of time, {left} left");
        }
        text
    }
}

impl Json for Outcome {
    fn json(&self) -> serde_json::Result<Value> {
        let mut object = Map::new();
        object.insert(self.done.into(), self.tally.rows.into());
        let rest = json!({
            "cutoff": self.cutoff(SecondsFormat::Micros),
            "dry_run": self.dry_run,
            "batches": self.tally.batches,
            "elapsed_ms": u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            "skipped": self.skipped,
            "interrupted": self.interrupted,
            "left": self.left,
        });
        if let Value::Object(rest) = rest {
            object.extend(rest);
        }
        Ok(Value::Object(object))
    }
}

impl Report for Outcome {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        let style = if self.skipped || self.interrupted || self.out_of_time {
            Style::Warning
        } else {
            Style::Good
        };
        out.raw(&out.paint(style, &self.sentence()))
    }

    fn code(&self) -> u8 {
        if self.interrupted {
            exit::INTERRUPTED
        } else {
            exit::DONE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_differ_by_chance_and_are_bounded() {
        for failures in 1..40 {
            let base = Duration::from_millis(100) * 2_u32.pow((failures - 1).min(7));
            let pauses: Vec<Duration> = (0..1000).map(|_| pause(failures)).collect();
            let (least, most) = (base.min(LONGEST_PAUSE), (base * 2).min(LONGEST_PAUSE));
            assert!(pauses.iter().all(|pause| (least..=most).contains(pause)), "{failures}");
            assert!(
                least == most || pauses.iter().any(|pause| *pause != pauses[0]),
                "{failures}"
            );
        }
    }
}
