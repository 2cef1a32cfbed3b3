//! What a failed statement calls for, and how long to wait before the next attempt.

use std::time::{Duration, SystemTime};

use tokio_postgres::Error;

use super::LONGEST_PAUSE;

/// What a failed batch calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
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
    pub(super) fn is_passing(self) -> bool {
        matches!(self, Self::Lost | Self::Contended)
    }

    pub(super) fn of(error: &Error) -> Self {
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
pub(super) fn pause(failures: u32) -> Duration {
    let base = Duration::from_millis(100) * 2_u32.saturating_pow(failures.saturating_sub(1).min(7));
    let chance = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |now| now.subsec_nanos() % 1000);
    (base + base * chance / 1000).min(LONGEST_PAUSE)
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
