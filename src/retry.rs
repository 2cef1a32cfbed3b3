//! The loop that tries again, and the pauses between its attempts.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The pauses between attempts: each starts twice as long as the one before, and grows at random by up to as much again,
/// so that clients that failed together do not come back together. It never ends: bound it with [`Backoff::within`] or
/// `take`.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    /// Pauses from `first` up to `max`.
    pub(crate) const fn new(first: Duration, max: Duration) -> Self {
        Self { next: first, max }
    }

    /// Pauses until `limit` from now: the last one is cut so that one more attempt begins at the limit.
    pub(crate) fn within(self, limit: Duration) -> impl Iterator<Item = Duration> {
        let start = Instant::now();
        self.map_while(move |pause| {
            let left = limit.saturating_sub(start.elapsed());
            (!left.is_zero()).then(|| pause.min(left))
        })
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.next.mul_f64(1.0 + fastrand::f64()).min(self.max);
        // Half, so that the longest pauses differ too.
        self.next = (self.next * 2).min(self.max / 2).max(self.next);
        Some(pause)
    }
}

/// Calls `attempt` with 1, 2, … until it succeeds, fails with an error that is not transient, or no pause is left; gives
/// the last result. `Backoff::new(…).take(4)` allows five attempts.
///
/// # Errors
/// Those of the last attempt.
pub(crate) async fn retry<T, E>(
    mut pauses: impl Iterator<Item = Duration>,
    is_transient: impl Fn(&E) -> bool,
    mut attempt: impl AsyncFnMut(u32) -> Result<T, E>,
) -> Result<T, E> {
    let mut number = 1;
    loop {
        match attempt(number).await {
            Err(error) if is_transient(&error) => match pauses.next() {
                Some(pause) => sleep(pause).await,
                None => return Err(error),
            },
            result => return result,
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(10);

    #[test]
    fn pauses_double_differ_at_random_and_are_bounded() {
        let runs: Vec<Vec<Duration>> = (0..1000).map(|_| Backoff::new(FIRST, MAX).take(40).collect()).collect();
        for index in 0..40 {
            let base = (FIRST * 2_u32.pow(index.min(10))).min(MAX / 2);
            let pauses: Vec<Duration> = runs.iter().map(|run| run[index as usize]).collect();
            assert!(pauses.iter().all(|pause| (base..=base * 2).contains(pause)), "{index}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{index}");
        }
    }

    #[test]
    fn a_first_pause_above_the_maximum_is_cut_to_it() {
        assert!(Backoff::new(MAX * 3, MAX).take(3).all(|pause| pause == MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn success_ends_it_and_attempts_are_numbered() {
        let mut seen = Vec::new();
        let result = retry(
            Backoff::new(FIRST, MAX),
            |_| true,
            async |number| {
                seen.push(number);
                if number == 3 { Ok(number) } else { Err(()) }
            },
        );
        assert_eq!(result.await, Ok(3));
        assert_eq!(seen, [1, 2, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_that_is_not_transient_is_not_tried_again() {
        let result: Result<(), u32> = retry(
            Backoff::new(FIRST, MAX),
            |number| *number < 2,
            async |number| Err(number),
        )
        .await;
        assert_eq!(result, Err(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_error_comes_back_when_no_pause_is_left() {
        let always = async |number| Err(number);
        let result: Result<(), u32> = retry(Backoff::new(FIRST, MAX).take(4), |_| true, always).await;
        assert_eq!(result, Err(5));
        let result: Result<(), u32> = retry(std::iter::empty(), |_| true, always).await;
        assert_eq!(result, Err(1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_attempt_begins_at_the_limit() {
        let limit = Duration::from_secs(60);
        let start = Instant::now();
        let mut last = start;
        let result: Result<(), ()> = retry(
            Backoff::new(FIRST, MAX).within(limit),
            |()| true,
            async |_| {
                last = Instant::now();
                Err(())
            },
        )
        .await;
        assert_eq!(result, Err(()));
        assert_eq!(last - start, limit);
    }

    #[tokio::test(start_paused = true)]
    async fn without_time_there_is_one_attempt() {
        let pauses = Backoff::new(FIRST, MAX).within(Duration::ZERO);
        let result: Result<(), u32> = retry(pauses, |_| true, async |number| Err(number)).await;
        assert_eq!(result, Err(1));
    }
}
