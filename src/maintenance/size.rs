//! How many rows a batch may have.

use std::time::Duration;

/// How long a batch should take.
const TARGET: Duration = Duration::from_millis(250);

/// Lower bound for the adaptive batch size, in rows.
const MIN_ROWS: i32 = 500;

/// The most by which a batch is larger than the one before.
const MAX_GROWTH: f64 = 4.0;

/// The adaptive size of a run's batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchSize {
    rows: i32,
    min: i32,
    max: i32,
}

impl BatchSize {
    /// Starts with `first` rows, which know nothing yet of how long they take, and stays at or below `max`.
    pub(super) fn new(first: i32, max: i32) -> Self {
        Self {
            rows: first.min(max),
            min: (max / 16).min(MIN_ROWS),
            max,
        }
    }

    pub(super) fn rows(self) -> i32 {
        self.rows
    }

    /// Adapts to how long the last batch took.
    pub(super) fn adapt(&mut self, took: Duration) {
        // Bounded: a quick batch may have had little to do.
        let factor = (TARGET.as_secs_f64() / took.as_secs_f64()).min(MAX_GROWTH);
        // Rows that are slow for a reason of their own get no faster by ever smaller batches.
        self.rows = self.scaled(factor).max(self.min).min(self.max);
    }

    /// Halves it for good, after a batch that ran into a timeout. False: one row is the least.
    pub(super) fn halve(&mut self) -> bool {
        if self.rows == 1 {
            return false;
        }
        self.rows = self.scaled(0.5);
        self.max = self.rows;
        true
    }

    #[allow(clippy::cast_possible_truncation)]
    fn scaled(self, factor: f64) -> i32 {
        ((f64::from(self.rows) * factor) as i32).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_batches_grow_fourfold_at_most_up_to_the_maximum() {
        let mut size = BatchSize::new(1_000, 20_000);
        for rows in [4_000, 16_000, 20_000, 20_000] {
            size.adapt(Duration::ZERO);
            assert_eq!(size.rows(), rows);
        }
    }

    #[test]
    fn slow_batches_shrink_towards_the_target_and_not_below_the_minimum() {
        let mut size = BatchSize::new(5_000, 25_000);
        size.adapt(TARGET * 2);
        assert_eq!(size.rows(), 2_500);
        size.adapt(TARGET * 1_000);
        assert_eq!(size.rows(), MIN_ROWS);
    }

    #[test]
    fn a_maximum_below_the_minimum_is_kept() {
        let mut size = BatchSize::new(1_000, 8);
        size.adapt(TARGET * 1_000);
        assert_eq!(size.rows(), 1);
        size.adapt(Duration::ZERO);
        assert_eq!(size.rows(), 4);
    }

    #[test]
    fn a_timeout_halves_for_good_down_to_one_row() {
        let mut size = BatchSize::new(8, 8);
        assert!(size.halve());
        size.adapt(Duration::ZERO);
        assert_eq!(size.rows(), 4);
        assert!(size.halve() && size.halve());
        assert!(!size.halve());
    }
}
