//! What ends a run before its work is done: a signal, or the end of its time.

use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::signals::StopSignal;

/// How long a batch that is running may go on after a signal.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// How long what is running may go on after the end of the run's time.
pub(crate) const TIME_GRACE: Duration = Duration::from_secs(4);

/// Why a run ends before its work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    Stop,
    OutOfTime,
}

/// What may halt a run.
#[derive(Clone, Copy)]
pub(super) struct Halts<'a> {
    pub(super) stop: &'a StopSignal,
    pub(super) deadline: Option<Instant>,
}

impl Halts<'_> {
    /// Whether no further batch is to begin, and why.
    pub(super) fn reached(self) -> Option<Halt> {
        if self.stop.is_requested() {
            Some(Halt::Stop)
        } else {
            let is_over = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            is_over.then_some(Halt::OutOfTime)
        }
    }

    /// Resolves when no further batch is to begin.
    pub(super) async fn before_a_batch(self) -> Halt {
        self.after(Duration::ZERO, Duration::ZERO).await
    }

    /// Resolves when a batch that is running is to be cut off.
    pub(super) async fn within_a_batch(self) -> Halt {
        self.after(STOP_GRACE, TIME_GRACE).await
    }

    /// Resolves when anything else that is running is to be cut off.
    pub(super) async fn elsewhere(self) -> Halt {
        self.after(Duration::ZERO, TIME_GRACE).await
    }

    async fn after(self, stop_grace: Duration, time_grace: Duration) -> Halt {
        let stopped = async {
            self.stop.requested().await;
            sleep(stop_grace).await;
        };
        let out_of_time = async {
            match self.deadline {
                Some(deadline) => sleep_until(deadline + time_grace).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stopped => Halt::Stop,
            () = out_of_time => Halt::OutOfTime,
        }
    }
}
