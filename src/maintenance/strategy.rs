//! How a run finds its next batch.

use serde::Deserialize;

use super::archived::Archived;

/// How a run finds its next batch, and where it is in the table.
#[derive(Debug)]
pub(super) enum Strategy {
    /// A sweep: rows that are due, listed in the order they are stored, a batch at a time.
    Candidates(Candidates),
    /// A scan in the order the sessions ended: from this time on, from the first one where absent.
    TimeSlices(Option<String>),
    /// A scan in the order the sessions are stored: from this row on.
    BlockRanges(String),
    /// A cleanup of sessions that were archived: exactly these.
    Archived(Archived),
    /// The scan has ended.
    Finished {
        /// Everything that it found was done.
        is_clean: bool,
    },
}

/// What a batch said about where it ended.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Step {
    pub(super) affected: u64,
    /// Rows of a slice that was divided: they failed, or were put off.
    #[serde(default)]
    pub(super) set_aside: u64,
    pub(super) skipped: bool,
    /// Of the whole run.
    pub(super) batches: Option<u64>,
    /// Of the whole run.
    pub(super) rows_done: Option<u64>,
    /// Of the whole run, where the batch settled sessions.
    #[serde(default)]
    pub(super) rows_settled: Option<u64>,
    #[serde(default)]
    position: Option<String>,
    #[serde(default)]
    finished: bool,
    /// The scan has done all that it met, where a batch knows.
    #[serde(default)]
    is_clean: bool,
}

impl Strategy {
    /// What the next batch begins with: rows to end, or a resume point. `max_rows` bounds the rows.
    pub(super) fn next(&self, max_rows: i32) -> Option<&str> {
        match self {
            Self::Candidates(list) => Some(list.next(max_rows)),
            Self::Archived(list) => list.next(max_rows),
            Self::TimeSlices(position) => position.as_deref(),
            Self::BlockRanges(position) => Some(position),
            Self::Finished { .. } => None,
        }
    }

    /// Moves behind a batch of at most `max_rows` rows that was committed.
    pub(super) fn advance(&mut self, step: &Step, max_rows: i32) {
        match self {
            Self::Candidates(list) => {
                list.advance(max_rows, step.affected, step.set_aside);
                if list.is_done() && list.complete && !list.is_worth_another() {
                    *self = list.finished();
                }
            }
            Self::Archived(list) => {
                list.advance(max_rows, step.affected, step.set_aside);
                if let Some(position) = list.position_behind() {
                    *self = Self::at(position);
                }
            }
            _ => *self = step.position(),
        }
    }

    /// Whether the scan has met all rows: those set aside are left.
    pub(super) fn is_at_the_end(&self) -> bool {
        match self {
            Self::Candidates(list) => list.is_done() && list.complete,
            Self::Finished { .. } => true,
            _ => false,
        }
    }

    /// Where a cleanup goes on: at a time or a row. Absent where nothing is left behind.
    pub(super) fn at(position: Option<String>) -> Self {
        match position {
            // A cleanup does not know whether rows were locked, or kept by something.
            None => Self::Finished { is_clean: false },
            Some(row) if row.starts_with('(') => Self::BlockRanges(row),
            time => Self::TimeSlices(time),
        }
    }

    /// Takes the next list of candidates.
    pub(super) fn continue_with(&mut self, next: Candidates) {
        if let Self::Candidates(list) = self {
            list.continue_with(next);
            if list.is_done() && list.complete && !list.is_worth_another() {
                *self = list.finished();
            }
        }
    }
}

impl Step {
    /// What a slice says that was divided: the next one begins there, or there is none.
    pub(super) fn of_slice(next_position: Option<String>) -> Self {
        Self {
            finished: next_position.is_none(),
            position: next_position,
            ..Self::default()
        }
    }

    fn position(&self) -> Strategy {
        match &self.position {
            Some(position) if !self.finished => Strategy::at(Some(position.clone())),
            None if !self.finished => Strategy::TimeSlices(None),
            _ => Strategy::Finished {
                is_clean: self.is_clean,
            },
        }
    }
}

/// Rows that are due, in the order they are stored.
#[derive(Debug, Deserialize)]
pub(super) struct Candidates {
    /// Their places, a space between two.
    rows: String,
    /// Nothing is due behind them.
    complete: bool,
    /// How much of the text has been done.
    #[serde(default)]
    done: usize,
    /// Rows of this scan that were taken.
    #[serde(default)]
    taken: u64,
    /// Rows of this scan that were ended.
    #[serde(default)]
    ended: u64,
    /// Rows of this scan that failed, or were put off.
    #[serde(default)]
    set_aside: u64,
}

/// Nothing listed yet.
impl Default for Candidates {
    fn default() -> Self {
        Self {
            rows: "(0,0)".into(),
            complete: false,
            done: "(0,0)".len(),
            taken: 0,
            ended: 0,
            set_aside: 0,
        }
    }
}

impl Candidates {
    /// These rows, a space between two.
    pub(super) fn of(rows: String) -> Self {
        Self {
            rows,
            complete: true,
            done: 0,
            taken: 0,
            ended: 0,
            set_aside: 0,
        }
    }

    /// Whether more must be listed before a batch.
    pub(super) fn is_done(&self) -> bool {
        self.done >= self.rows.len()
    }

    /// The last row listed, behind which the next list begins. Keeps it alone, so that two lists are never held at once.
    pub(super) fn last_listed(&mut self) -> &str {
        if self.complete {
            *self = Self::default();
        }
        self.rows = self.rows.rsplit(' ').next().unwrap_or_default().into();
        self.done = self.rows.len();
        &self.rows
    }

    fn continue_with(&mut self, next: Self) {
        *self = Self {
            taken: self.taken,
            ended: self.ended,
            set_aside: self.set_aside,
            ..next
        };
    }

    fn finished(&self) -> Strategy {
        Strategy::Finished {
            is_clean: self.ended == self.taken,
        }
    }

    pub(super) fn next(&self, max_rows: i32) -> &str {
        let rest = &self.rows[self.done..];
        let max_rows = usize::try_from(max_rows).unwrap_or(1).max(1);
        rest.match_indices(' ')
            .nth(max_rows - 1)
            .map_or(rest, |(end, _)| &rest[..end])
    }

    pub(super) fn advance(&mut self, max_rows: i32, ended: u64, set_aside: u64) {
        let batch = self.next(max_rows);
        let (length, rows) = (batch.len(), batch.matches(' ').count() as u64 + 1);
        self.done += length + 1;
        self.taken += rows;
        self.ended += ended;
        self.set_aside += set_aside;
    }

    /// Whether another scan may find more: rows were elsewhere or locked when their turn came (a table that was rewritten
    /// meanwhile has all of them elsewhere). A scan that ended nothing is the last.
    fn is_worth_another(&self) -> bool {
        self.ended > 0 && self.ended + self.set_aside < self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(rows: &str, complete: bool) -> Candidates {
        Candidates {
            rows: rows.into(),
            complete,
            done: 0,
            taken: 0,
            ended: 0,
            set_aside: 0,
        }
    }

    fn affected(affected: u64) -> Step {
        Step {
            affected,
            ..Step::default()
        }
    }

    fn at(position: Option<&str>) -> Step {
        Step {
            position: position.map(Into::into),
            ..Step::default()
        }
    }

    #[test]
    fn candidates_are_cut_into_batches_to_the_last() {
        let mut strategy = Strategy::Candidates(list("(0,1) (0,2) (1,1)", true));
        assert_eq!(strategy.next(2), Some("(0,1) (0,2)"));
        strategy.advance(&affected(2), 2);
        assert_eq!(strategy.next(2), Some("(1,1)"));
        strategy.advance(&affected(1), 2);
        assert!(matches!(strategy, Strategy::Finished { is_clean: true }));
    }

    #[test]
    fn the_next_list_begins_behind_the_last_row_and_the_scan_is_counted_on() {
        let mut candidates = list("(0,1) (0,2)", false);
        candidates.advance(9, 1, 0);
        assert!(candidates.is_done());
        assert_eq!(candidates.last_listed(), "(0,2)");
        candidates.continue_with(list("(3,1)", true));
        candidates.advance(9, 1, 0);
        assert_eq!((candidates.taken, candidates.ended), (3, 2));
    }

    #[test]
    fn a_scan_that_left_rows_out_is_repeated_until_one_ends_nothing() {
        let mut strategy = Strategy::Candidates(list("(0,1) (0,2)", true));
        strategy.advance(&affected(1), 9);
        let Strategy::Candidates(candidates) = &mut strategy else {
            panic!("{strategy:?}");
        };
        assert_eq!(candidates.last_listed(), "(0,0)");
        candidates.continue_with(list("(0,2)", true));
        strategy.advance(&affected(0), 9);
        assert!(matches!(strategy, Strategy::Finished { is_clean: false }));
    }

    #[test]
    fn an_empty_list_ends_the_scan() {
        let mut strategy = Strategy::Candidates(Candidates::default());
        strategy.continue_with(list("", true));
        assert!(matches!(strategy, Strategy::Finished { is_clean: true }));
    }

    #[test]
    fn a_cleanup_goes_by_time_then_by_blocks_where_the_server_says_so() {
        let mut strategy = Strategy::TimeSlices(None);
        assert_eq!(strategy.next(9), None);
        strategy.advance(&at(Some("2026-01-01 00:00:00+00")), 9);
        assert_eq!(strategy.next(9), Some("2026-01-01 00:00:00+00"));
        strategy.advance(&at(Some("(128,0)")), 9);
        assert!(matches!(&strategy, Strategy::BlockRanges(row) if row == "(128,0)"));
        strategy.advance(
            &Step {
                finished: true,
                ..at(None)
            },
            9,
        );
        assert!(matches!(strategy, Strategy::Finished { is_clean: false }));
    }
}
