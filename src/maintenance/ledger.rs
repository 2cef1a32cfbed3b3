//! What a run has done, kept so that a lost connection can't falsify it.

use std::collections::HashMap;

/// Sessions done, in how many batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) rows: u64,
    pub(super) batches: u64,
}

/// What has been done, kept so that it can be put right: a batch whose commit was not seen, or may have been lost with
/// a crash before it reached the disk, counts if the server says that its transaction committed.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) flushed: Tally,
    /// Committed, not known to be on disk: transaction and count.
    pub(super) open: Vec<(String, u64)>,
    /// Its commit was sent, and no answer has come.
    pub(super) in_doubt: Option<(String, u64)>,
}

impl Ledger {
    /// Without the batch in doubt.
    pub(super) fn total(&self) -> Tally {
        Tally {
            rows: self.flushed.rows + self.open.iter().map(|(_, rows)| rows).sum::<u64>(),
            batches: self.flushed.batches + self.open.len() as u64,
        }
    }

    /// The batch in doubt has committed.
    pub(super) fn confirm(&mut self) {
        self.open.extend(self.in_doubt.take());
    }

    /// Everything so far is on the server's disk.
    pub(super) fn flush(&mut self) {
        self.flushed = self.total();
        self.open.clear();
    }

    pub(super) fn transactions(&self) -> Vec<&str> {
        self.open
            .iter()
            .chain(&self.in_doubt)
            .map(|(transaction, _)| transaction.as_str())
            .collect()
    }

    pub(super) fn settle(&mut self, states: &HashMap<String, String>) {
        self.confirm();
        self.open
            .retain(|(transaction, _)| states.get(transaction).is_some_and(|state| state == "committed"));
    }
}
