//! What ends a run before its work is done: a signal, or the end of its time.

use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until, timeout};

use super::run::{End, Run};
use crate::database::QueryError;
use crate::signals::StopSignal;

/// How long a batch that is running may go on after a stop, and after the end of the run's time, before it is cancelled.
const STOP_GRACE: Duration = Duration::from_secs(1);
const TIME_GRACE: Duration = Duration::from_secs(4);

/// How long a batch that was cancelled may take to say so.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// What ends a run before its work is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Halt {
    Stop,
    OutOfTime,
}

/// Resolves at a moment, never where there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
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
}
