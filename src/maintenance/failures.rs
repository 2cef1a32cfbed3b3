//! The sessions that a run could not do, and why.

use std::collections::BTreeMap;

/// How many session ids are named.
const MAX_NAMED: usize = 5;

/// The sessions that a run could not do, and why.
#[derive(Debug, Default)]
pub struct Failures {
    /// How many; some of them were not tried.
    pub(super) rows: u64,
    /// Those of the phases before this one.
    rows_before: u64,
    /// Why, with how many rows that failed alone, and the ids of some.
    reasons: BTreeMap<String, (u64, Vec<String>)>,
    /// What to do, where something is known.
    pub(super) hint: Option<String>,
}

impl Failures {
    /// One session failed alone.
    pub(super) fn add(&mut self, reason: String, session: Option<String>) {
        self.rows += 1;
        let named: usize = self.reasons.values().map(|(_, ids)| ids.len()).sum();
        let (rows, ids) = self.reasons.entry(reason).or_default();
        *rows += 1;
        ids.extend(session.filter(|_| named < MAX_NAMED));
    }

    /// So many sessions were not done for this reason.
    pub(super) fn add_all(&mut self, rows: u64, reason: String) {
        if rows > 0 {
            self.rows += rows;
            self.reasons.entry(reason).or_default().0 += rows;
        }
    }

    /// How many in this phase of the run.
    pub(super) fn rows_of_phase(&self) -> u64 {
        self.rows - self.rows_before
    }

    /// The next phase of the run begins.
    pub(super) fn next_phase(&mut self) {
        self.rows_before = self.rows;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Each reason in a line of its own, with its sessions.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |(reason, (rows, ids)): (&String, &(u64, Vec<String>))| {
            let sessions = if *rows == 1 { "session" } else { "sessions" };
            let ids = match ids.as_slice() {
                [] => String::new(),
                ids => format!(" ({})", ids.join(", ")),
            };
            format!("{} {sessions}{ids}: {reason}", crate::output::count(*rows))
        };
        self.reasons.iter().map(line).collect()
    }

    /// What to do, where something is known.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_grouped_by_reason_and_few_are_named() {
        let mut failures = Failures::default();
        for number in 0..7 {
            failures.add("constraint a".into(), Some(format!("s{number}")));
        }
        failures.add_all(2_000, "trigger keep prevented it".into());
        assert_eq!(failures.rows, 2_007);
        assert_eq!(
            failures.lines(),
            [
                "7 sessions (s0, s1, s2, s3, s4): constraint a",
                "2,000 sessions: trigger keep prevented it"
            ]
        );
    }
}
