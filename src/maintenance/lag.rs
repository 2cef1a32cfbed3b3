//! `--max-lag`: a run waits while a replica is further behind.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use humantime::format_duration;
use serde::Deserialize;
use tokio::time::sleep;

use super::Event;
use super::run::Run;
use crate::database::{QueryError, bind};

/// How often a run that waits looks again. Its record shows progress each time, so that no other run takes over.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What the server says of its replicas. Places are bytes of the log.
#[derive(Deserialize)]
struct Replicas {
    written: u64,
    replayed: Option<u64>,
    seconds: Option<f64>,
}

/// When this run saw the log end where. A replica that stands still reports the delay it had when it last moved, so the run
/// measures for itself: the replica is as far behind as the time since the log ended at the place that it has not reached.
#[derive(Debug, Default)]
pub(super) struct Lag {
    seen: VecDeque<(Instant, u64)>,
}

impl Lag {
    fn of(&mut self, replicas: &Replicas, now: Instant) -> Duration {
        let Some(replayed) = replicas.replayed else {
            self.seen.clear();
            return Duration::ZERO;
        };
        while self.seen.front().is_some_and(|(_, place)| *place <= replayed) {
            self.seen.pop_front();
        }
        let measured = self.seen.front().map_or(Duration::ZERO, |(then, _)| now - *then);
        if replayed < replicas.written {
            self.seen.push_back((now, replicas.written));
            let reported = Duration::try_from_secs_f64(replicas.seconds.unwrap_or_default()).unwrap_or_default();
            return measured.max(reported);
        }
        measured
    }
}

impl Run<'_> {
    /// Waits until no replica is further behind than the options let it. False: a signal or the end of the run's time came before.
    pub(super) async fn wait_for_replicas(&mut self) -> Result<bool, QueryError> {
        let Some(limit) = self.options.max_lag else {
            return Ok(true);
        };
        let began = Instant::now();
        let mut is_told = false;
        loop {
            let replicas: Replicas = self.database.transact("", include_str!("lag.sql")).await?;
            let lag = self.lag.of(&replicas, Instant::now());
            if lag <= limit {
                self.waited = began.elapsed();
                return Ok(true);
            }
            if !is_told {
                let lag = format_duration(Duration::from_secs(lag.as_secs()));
                (self.observe)(Event::Note(&format!(
                    "a replica is {lag} behind, waiting for it (--max-lag)"
                )));
                is_told = true;
            }
            let sql = bind(include_str!("record/touch.sql"), &self.record.identity());
            self.database.transact::<bool>("", &sql).await?;
            tokio::select! {
                () = sleep(LOOK_AGAIN_AFTER) => {}
                _ = self.halts.before_a_batch() => {
                    self.waited = began.elapsed();
                    return Ok(false);
                }
            }
        }
    }
}
