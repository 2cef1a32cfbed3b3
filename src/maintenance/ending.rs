//! How a run ends: with its work done, or early, by a signal or the end of its time. Nothing here waits for long.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Event;
use super::halt::Halt;
use super::record::Stored;
use super::run::{End, Run};
use crate::database::QueryError;
use crate::failure::Failure;

/// How long what was cancelled may take to end. A run that is out of time has more of it than one that was stopped.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(700);
const LATE_CANCEL_TIMEOUT: Duration = Duration::from_millis(1_500);

/// How long a run that ends early may take to close its record, and before that to read it.
pub(super) const CLOSING_TIMEOUT: Duration = Duration::from_millis(1_100);

/// How long a run that is out of time may count what it leaves, and until when after its deadline.
const COUNT_TIMEOUT: Duration = Duration::from_secs(4);
const COUNT_UNTIL: Duration = Duration::from_secs(7);

impl Run<'_> {
    /// Does what a halt may cut off at any moment, and cancels it on the server then.
    pub(super) async fn unless_halted<T>(
        &mut self,
        stopped: &str,
        work: impl AsyncFnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let halts = self.halts;
        let halt = tokio::select! {
            result = work(self) => return result,
            halt = halts.elsewhere() => halt,
        };
        self.database.canceller().cancel().await;
        Err(match halt {
            Halt::Stop => Failure::interrupted(stopped),
            Halt::OutOfTime => self.out_of_time(),
        })
    }

    /// One batch, and the halt that has cut it off, if one has.
    pub(super) async fn batch_or_halt(&mut self, cutoff: &str) -> (Result<Option<End>, QueryError>, Option<Halt>) {
        let (halts, cancel) = (self.halts, self.database.canceller());
        let mut batch = Box::pin(self.batch(cutoff));
        let halt = tokio::select! {
            result = &mut batch => return (result, None),
            halt = halts.within_a_batch() => halt,
        };
        let limit = match halt {
            Halt::Stop => CANCEL_TIMEOUT,
            Halt::OutOfTime => LATE_CANCEL_TIMEOUT,
        };
        let ((), ended) = tokio::join!(cancel.cancel(), timeout(limit, &mut batch));
        drop(batch);
        let result = ended.unwrap_or_else(|_| {
            // Nothing more will come over this connection.
            self.database.give_up();
            Err(QueryError::Silence(limit))
        });
        (result, Some(halt))
    }

    /// Cancels what was cut off, and leaves the connection ready for another transaction, or gives it up.
    pub(super) async fn clear(&self) {
        if self.database.is_closed() {
            return;
        }
        let (cancel, rollback) = (self.database.canceller(), self.database.run("rollback"));
        let ((), ended) = tokio::join!(cancel.cancel(), timeout(CANCEL_TIMEOUT, rollback));
        if ended.is_err() {
            self.database.give_up();
        }
    }

    /// The end of a run that was halted. One that is out of time counts what it leaves, within bounds.
    ///
    /// # Errors
    /// Out of time, and whether the last batch was committed is not known.
    pub(super) async fn end_early(&mut self, cutoff: &str, halt: Halt) -> Result<End, Failure> {
        let until = match (halt, self.halts.deadline) {
            (Halt::OutOfTime, Some(deadline)) => (Instant::now() + COUNT_TIMEOUT).min(deadline + COUNT_UNTIL),
            _ => return Ok(End::Interrupted),
        };
        if self.in_doubt {
            return Err(self.no_answer_in_time().await);
        }
        let end = tokio::select! {
            left = self.count(Some(cutoff)) => return Ok(End::OutOfTime { left: left.ok().map(|count| count.left) }),
            () = sleep_until(until) => End::OutOfTime { left: None },
            () = self.halts.stop.requested() => End::Interrupted,
        };
        self.clear().await;
        Ok(end)
    }

    /// Closes the record, whose commit flushes all before it, and gives the end that the run came to.
    ///
    /// # Errors
    /// The record could not be closed.
    pub(super) async fn finish(&mut self, cutoff: &str, end: End) -> Result<End, Failure> {
        let left = match end {
            End::OutOfTime { left } | End::Finished { left } => left,
            _ => None,
        };
        self.count_untried();
        let outcome = match end {
            End::Finished { .. } | End::OutOfTime { .. } if !self.unable.is_empty() => "failed",
            _ => end.outcome(),
        };
        let message = self.unable.lines().join("; ");
        let message = (!message.is_empty()).then_some(message.as_str());
        let sql = self.record.finish_sql(outcome, left, self.unable.rows, message);
        if matches!(end, End::Interrupted) {
            if self.in_doubt {
                (self.observe)(Event::Note("whether the last batch was committed is not known"));
            }
            // A stop does not wait for a server that has gone.
            let _ = timeout(CLOSING_TIMEOUT, self.database.transact::<Stored>("", &sql)).await;
            return Ok(end);
        }
        let (halts, is_early) = (self.halts, matches!(end, End::OutOfTime { .. }));
        let halt = tokio::select! {
            closed = self.close_record(cutoff, &sql) => return closed.map(|()| end),
            () = sleep(CLOSING_TIMEOUT), if is_early => Halt::OutOfTime,
            halt = halts.elsewhere(), if !is_early => halt,
        };
        match halt {
            Halt::Stop => Ok(End::Interrupted),
            Halt::OutOfTime => Err(self.no_answer_in_time().await),
        }
    }

    async fn close_record(&mut self, cutoff: &str, sql: &str) -> Result<(), Failure> {
        loop {
            match self.database.transact::<Stored>("", sql).await {
                Ok(stored) => {
                    self.record.take(&stored);
                    return Ok(());
                }
                Err(error) => self.recover(cutoff, error).await?,
            }
        }
    }

    /// The failure of a run whose time is over while the server gives no answer, with what is known of its batches.
    async fn no_answer_in_time(&mut self) -> Failure {
        let failure = self.out_of_time();
        self.give_up(failure, "no answer from the server").await
    }

    fn out_of_time(&self) -> Failure {
        Failure::new(format!("{}: no answer before --max-runtime was over", self.failed()))
            .hint("check the network and the server, or give it more time")
    }
}
