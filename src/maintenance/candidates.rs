//! The candidates of a sweep: rows that are due, listed in the order they are stored and taken a batch at a time.

use serde::Deserialize;

/// Rows that are due, in the order they are stored.
#[derive(Deserialize)]
pub(super) struct List {
    /// Their places, a space between two.
    pub(super) rows: String,
    /// Nothing is due behind them.
    pub(super) complete: bool,
    /// How much of the text has been done.
    #[serde(default)]
    pub(super) done: usize,
}

/// Nothing listed yet.
impl Default for List {
    fn default() -> Self {
        Self {
            rows: "(0,0)".into(),
            complete: false,
            done: "(0,0)".len(),
        }
    }
}

impl List {
    pub(super) fn is_done(&self) -> bool {
        self.done >= self.rows.len()
    }

    /// Keeps the last one alone, so that two lists are never held at once.
    pub(super) fn forget(&mut self) {
        self.rows = self.rows.rsplit(' ').next().unwrap_or_default().into();
        self.done = self.rows.len();
    }

    /// The next rows, at most so many.
    pub(super) fn next(&self, most: i32) -> &str {
        let rest = &self.rows[self.done..];
        let most = usize::try_from(most).unwrap_or(1).max(1);
        rest.match_indices(' ')
            .nth(most - 1)
            .map_or(rest, |(end, _)| &rest[..end])
    }

    /// The next rows have been done; their text is so long.
    pub(super) fn advance(&mut self, length: usize) {
        self.done += length + 1;
    }
}

/// How far one walk through the table's lists got.
#[derive(Default)]
pub(super) struct Pass {
    pub(super) listed: u64,
    pub(super) done: u64,
}

impl Pass {
    /// Whether another walk may find more: rows were elsewhere or held when their turn came (a table that was rewritten
    /// meanwhile has all of them elsewhere). One that did nothing is the last.
    pub(super) fn is_worth_another(&self) -> bool {
        self.done > 0 && self.done < self.listed
    }
}
