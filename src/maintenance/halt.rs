//! What ends a run before its work is done: a signal, or the end of its time.

use std::time::{Duration, Instant};

use tokio::time::sleep_until;

/// How long a batch that is running may go on after a stop, and after the end of the run's time, before it is cancelled.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(1);
pub(super) const TIME_GRACE: Duration = Duration::from_secs(4);

/// What ends a run before its work is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Halt {
    Stop,
    OutOfTime,
}

/// Resolves at a moment, never where there is none.
pub(super) async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
