//! How a run ends: with its work done, or early, by a signal or the end of its time.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::halt::{Halt, STOP_GRACE, TIME_GRACE, until};
use super::record::Stored;
use super::run::{End, Run};
use crate::database::QueryError;
use crate::failure::Failure;
use crate::signals::StopSignal;

/// How long a batch that was cancelled may take to say so.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a run that stops or failed may take to read its record and to close it.
pub(super) const CLOSING_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a run that is out of time may count what it leaves.
const COUNT_TIMEOUT: Duration = Duration::from_secs(5);

/// Does what a stop may cut off at any moment, and cancels it on the server then.
pub(super) async fn stoppable<'a, T>(
    run: &mut Run<'a>,
    stop: &StopSignal,
    stopped: &str,
    work: impl AsyncFnOnce(&mut Run<'a>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let cancel = run.database.canceller();
    tokio::select! {
        result = work(run) => result,
        () = stop.requested() => {
            cancel.cancel().await;
            Err(Failure::interrupted(stopped))
        }
    }
}

impl Run<'_> {
    /// One batch, and what halts the run meanwhile: it has a second to end by itself after a stop, and four after the run's time.
    pub(super) async fn batch_or_halt(
        &mut self,
        cutoff: &str,
        begun: Instant,
        stop: &StopSignal,
    ) -> (Result<Option<End>, QueryError>, Option<Halt>) {
        let cancel = self.database.canceller();
        let time_over = self
            .options
            .max_runtime
            .and_then(|limit| begun.checked_add(limit + TIME_GRACE));
        let mut batch = Box::pin(self.batch(cutoff));
        let halt = tokio::select! {
            result = &mut batch => return (result, stop.is_requested().then_some(Halt::Stop)),
            () = async { stop.requested().await; sleep(STOP_GRACE).await } => Halt::Stop,
            () = until(time_over) => Halt::OutOfTime,
        };
        cancel.cancel().await;
        match timeout(CANCEL_TIMEOUT, &mut batch).await {
            Ok(result) => (result, Some(halt)),
            Err(_) => (Err(QueryError::Silence(CANCEL_TIMEOUT)), Some(halt)),
        }
    }

    /// The end of a run that is out of time: counts what it leaves, within bounds.
    pub(super) async fn out_of_time(&self, cutoff: &str, stop: &StopSignal) -> Result<End, Failure> {
        let cancel = self.database.canceller();
        tokio::select! {
            left = self.count(Some(cutoff)) => Ok(End::OutOfTime { left: left.ok().map(|left| left.rows) }),
            () = sleep(COUNT_TIMEOUT) => {
                cancel.cancel().await;
                Ok(End::OutOfTime { left: None })
            }
            () = stop.requested() => {
                cancel.cancel().await;
                Ok(End::Interrupted)
            }
        }
    }

    /// Closes the record. Its commit flushes all before it.
    pub(super) async fn finish(&mut self, cutoff: &str, end: &End) -> Result<(), Failure> {
        let left = match end {
            End::OutOfTime { left } | End::Finished { left } => *left,
            _ => None,
        };
        let outcome = match end {
            End::Finished { .. } if !self.unable.is_empty() => "failed",
            end => end.outcome(),
        };
        let message = self.unable.lines().join("; ");
        let message = (!message.is_empty()).then_some(message.as_str());
        let sql = self.record.finish_sql(outcome, left, self.unable.rows, message);
        if matches!(end, End::Interrupted) || self.in_doubt {
            // Neither a stop nor the end of the run's time waits for a server that has gone.
            let _ = timeout(CLOSING_TIMEOUT, self.database.transact::<Stored>("", &sql)).await;
            return Ok(());
        }
        loop {
            match self.database.transact::<Stored>("", &sql).await {
                Ok(stored) => {
                    self.record.take(&stored);
                    return Ok(());
                }
                Err(error) => self.recover(cutoff, error).await?,
            }
        }
    }
}
