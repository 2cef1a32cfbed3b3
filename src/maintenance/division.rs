//! A batch that failed because of some of its rows, divided until those rows are alone.
//!
//! Each part is a transaction of its own: parts within one transaction would be subtransactions, thousands of which slow down
//! snapshots for the whole server. The rule of [`Streak`] is that of sessctl.run_next.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Rows that fail in a row before the rows behind them are put off: at first, and until one works.
const MAX_FAILING: u32 = 20;
const MAX_FAILING_AGAIN: u32 = 3;

/// How many rows are put off at first; twice as many each time.
const FIRST_SKIP: u64 = 25;

/// The most rows that are put off. Those beyond are not tried in this scan.
const MAX_PUT_OFF: u64 = 2_000;

/// The parts of a slice that are still to be tried.
#[derive(Debug)]
pub(super) struct Division {
    /// The next part is the last one. Each is a list of places, a space between two.
    parts: Vec<String>,
}

/// What became of a part that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It is two smaller parts now.
    Divided,
    /// It was this one row.
    Row(String),
}

impl Division {
    /// Of the rows of a batch that failed.
    pub(super) fn of(rows: &str) -> Self {
        let parts = match halves(rows) {
            Some((first, second)) => vec![second.into(), first.into()],
            None => vec![rows.into()],
        };
        Self { parts }
    }

    /// The part to try next; absent where all have been.
    pub(super) fn part(&self) -> Option<&str> {
        self.parts.last().map(String::as_str)
    }

    /// The part was committed.
    pub(super) fn succeed(&mut self) {
        self.parts.pop();
    }

    /// The part failed because of its rows.
    pub(super) fn fail(&mut self) -> Part {
        let part = self.parts.pop().unwrap_or_default();
        if let Some((first, second)) = halves(&part) {
            self.parts.extend([second.to_owned(), first.to_owned()]);
            return Part::Divided;
        }
        Part::Row(part)
    }

    /// Takes the next rows out, at most so many.
    fn skip(&mut self, max_rows: u64) -> Vec<String> {
        let mut rows = Vec::new();
        while (rows.len() as u64) < max_rows
            && let Some(part) = self.parts.pop()
        {
            match part.split_once(' ') {
                None => rows.push(part),
                Some((row, rest)) => {
                    rows.push(row.to_owned());
                    self.parts.push(rest.to_owned());
                }
            }
        }
        rows
    }
}

/// Rows that fail one after the other. After many, the rows behind them are put off until the end of the scan, so that the run
/// reaches others; then they are tried in no order, since there may be others among them.
#[derive(Debug, Default)]
pub(super) struct Streak {
    failing: u32,
    skips: u32,
    put_off: Vec<String>,
    /// Rows that are not tried in this scan.
    untried: u64,
    /// Those put off are being tried: what is put off now is not tried.
    is_at_the_end: bool,
}

impl Streak {
    /// A batch was committed.
    pub(super) fn end(&mut self) {
        (self.failing, self.skips) = (0, 0);
    }

    /// One row failed alone. Gives how many of the rows behind it are put off.
    pub(super) fn fail(&mut self, division: &mut Division) -> u64 {
        self.failing += 1;
        let most = if self.skips == 0 {
            MAX_FAILING
        } else {
            MAX_FAILING_AGAIN
        };
        if self.failing < most {
            return 0;
        }
        let rows = division.skip(FIRST_SKIP << self.skips.min(15));
        let skipped = rows.len() as u64;
        if skipped > 0 {
            (self.failing, self.skips) = (0, self.skips + 1);
        }
        if self.is_at_the_end || self.put_off.len() as u64 + skipped > MAX_PUT_OFF {
            self.untried += skipped;
        } else {
            self.put_off.extend(rows);
        }
        skipped
    }

    /// The rows that were put off, once, where there are any.
    pub(super) fn take_put_off(&mut self) -> Option<Division> {
        if self.put_off.is_empty() {
            return None;
        }
        self.is_at_the_end = true;
        let order = RandomState::new();
        let mut rows = std::mem::take(&mut self.put_off);
        rows.sort_by_cached_key(|row| order.hash_one(row));
        Some(Division::of(&rows.join(" ")))
    }

    /// How many rows were not tried.
    pub(super) fn untried(&self) -> u64 {
        self.untried + self.put_off.len() as u64
    }

    /// Another scan begins, which meets all of them again.
    pub(super) fn restart(&mut self) {
        self.put_off.clear();
        self.untried = 0;
        self.is_at_the_end = false;
    }
}

/// Two parts of about the same size; none where it is one row.
fn halves(part: &str) -> Option<(&str, &str)> {
    let middle = part.len() / 2;
    let space = part[middle..]
        .find(' ')
        .map(|at| middle + at)
        .or_else(|| part[..middle].rfind(' '))?;
    Some((&part[..space], &part[space + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Divides these rows, of which the ones in `bad` fail, and those put off at the end: the rows that failed alone, the number of
    /// those not tried, and the attempts.
    fn divide(count: usize, bad: &[usize]) -> (Vec<String>, u64, usize) {
        let place = |row: usize| format!("({row},1)");
        let all: Vec<String> = (0..count).map(place).collect();
        let bad: Vec<String> = bad.iter().map(|row| place(*row)).collect();
        let mut next = Some(Division::of(&all.join(" ")));
        let (mut failed, mut streak, mut attempts) = (Vec::new(), Streak::default(), 0);
        while let Some(mut division) = next {
            while let Some(part) = division.part() {
                attempts += 1;
                if !part.split(' ').any(|row| bad.contains(&row.to_owned())) {
                    division.succeed();
                    streak.end();
                } else if let Part::Row(row) = division.fail() {
                    failed.push(row);
                    streak.fail(&mut division);
                }
            }
            next = streak.take_put_off();
        }
        failed.sort_by_key(|row| row[1..].split_once(',').unwrap().0.parse::<usize>().unwrap());
        (failed, streak.untried(), attempts)
    }

    #[test]
    fn one_row_of_many_is_found_in_few_attempts() {
        let (failed, untried, attempts) = divide(25_000, &[17_000]);
        assert_eq!((failed, untried), (vec!["(17000,1)".into()], 0));
        assert!(attempts < 40, "{attempts}");
    }

    #[test]
    fn every_failing_row_is_found_where_they_are_few() {
        assert_eq!(divide(100, &[0, 50, 99]).0, ["(0,1)", "(50,1)", "(99,1)"]);
        assert_eq!(divide(1, &[0]).0, ["(0,1)"]);
        assert_eq!(divide(2, &[1]).0, ["(1,1)"]);
    }

    #[test]
    fn rows_behind_many_that_fail_are_tried_at_the_end() {
        let first: Vec<usize> = (0..250).collect();
        let (failed, untried, _) = divide(3_000, &first);
        assert_eq!((failed.len(), untried), (250, 0));
    }

    #[test]
    fn where_all_fail_few_are_tried_and_the_others_counted() {
        let all: Vec<usize> = (0..3_000).collect();
        let (failed, untried, attempts) = divide(3_000, &all);
        assert_eq!(failed.len() as u64 + untried, 3_000);
        assert!(attempts < 200, "{attempts}");
    }
}
