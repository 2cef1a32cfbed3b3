//! The loop of a run: one batch after the other until the work is done, and back on its feet after a fault.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio_postgres::Error;
use tokio_postgres::types::Type;

use super::candidates::{List, Pass};
use super::fault::{Fault, pause};
use super::ledger::Ledger;
use super::{
    BATCH_TARGET, Batch, COMMIT_UNFLUSHED, COUNT_PATIENCE, FLUSH, Job, LEAST_ROWS, LONGEST_PAUSE, Options,
    STOP_PATIENCE,
};
use crate::commands::Stop;
use crate::config::Target;
use crate::database::{Database, Parameter, QueryError, explain};
use crate::failure::Failure;
use crate::output::{Terminal, count};

/// A run at work.
pub(super) struct Run<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) options: &'a Options,
    pub(super) target: &'a Target,
    pub(super) terminal: &'a Terminal,
    pub(super) database: Database,
    pub(super) ledger: Ledger,
    pub(super) position: Option<String>,
    pub(super) list: List,
    pub(super) pass: Pass,
    pub(super) rows: i32,
    /// The most rows of a batch: as asked for, or what the server's statement_timeout lets pass.
    pub(super) most_rows: i32,
    /// Failures since the last batch that worked.
    pub(super) failures: u32,
}

/// How a run came to its end.
pub(super) enum End {
    Finished,
    Skipped,
    Interrupted,
    /// How many are left, where the server could count them.
    OutOfTime {
        left: Option<u64>,
    },
}

pub(super) type StopSignal = Pin<Box<dyn Future<Output = Result<Stop, Failure>>>>;

impl Run<'_> {
    pub(super) async fn run_to_its_end(
        &mut self,
        cutoff: &str,
        start: Instant,
        mut stop: StopSignal,
    ) -> Result<End, Failure> {
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
