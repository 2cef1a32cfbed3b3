//! A batch that failed because of some of its rows, divided until those rows are alone.
//!
//! Each part is a transaction of its own: parts within one transaction would be subtransactions, thousands of which slow down
//! snapshots for the whole server.

/// Failing rows of one slice after which the rest of the slice is given up, so that the run reaches the next one.
const MAX_FAILING: u32 = 20;

/// The parts of a slice that are still to be tried.
#[derive(Debug)]
pub(super) struct Division {
    /// The next part is the last one. Each is a list of places, a space between two.
    parts: Vec<String>,
    failing: u32,
}

/// What became of a part that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It is two smaller parts now.
    Divided,
    /// It was this one row.
    Row(String),
    /// It was this one row, and the rest of the slice is given up: so many rows, at least one of which may fail too.
    LastRow(String, u64),
}

impl Division {
    /// Of the rows of a batch that failed.
    pub(super) fn of(rows: &str) -> Self {
        let parts = match halves(rows) {
            Some((first, second)) => vec![second.into(), first.into()],
            None => vec![rows.into()],
        };
        Self { parts, failing: 0 }
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
        self.failing += 1;
        if self.failing < MAX_FAILING || self.parts.is_empty() {
            return Part::Row(part);
        }
        let rest = self.parts.drain(..).map(|part| rows(&part)).sum();
        Part::LastRow(part, rest)
    }
}

fn rows(part: &str) -> u64 {
    part.matches(' ').count() as u64 + 1
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

    /// Divides these rows, of which the ones in `bad` fail: the rows that failed alone, those given up, and the attempts.
    fn divide(count: usize, bad: &[usize]) -> (Vec<String>, u64, usize) {
        let place = |row: usize| format!("({row},1)");
        let all: Vec<String> = (0..count).map(place).collect();
        let bad: Vec<String> = bad.iter().map(|row| place(*row)).collect();
        let mut division = Division::of(&all.join(" "));
        let (mut failed, mut given_up, mut attempts) = (Vec::new(), 0, 0);
        while let Some(part) = division.part() {
            attempts += 1;
            if !part.split(' ').any(|row| bad.contains(&row.to_owned())) {
                division.succeed();
                continue;
            }
            match division.fail() {
                Part::Divided => {}
                Part::Row(row) => failed.push(row),
                Part::LastRow(row, rest) => {
                    failed.push(row);
                    given_up = rest;
                }
            }
        }
        (failed, given_up, attempts)
    }

    #[test]
    fn one_row_of_many_is_found_in_few_attempts() {
        let (failed, given_up, attempts) = divide(25_000, &[17_000]);
        assert_eq!((failed, given_up), (vec!["(17000,1)".into()], 0));
        assert!(attempts < 40, "{attempts}");
    }

    #[test]
    fn every_failing_row_is_found_where_they_are_few() {
        assert_eq!(divide(100, &[0, 50, 99]).0, ["(0,1)", "(50,1)", "(99,1)"]);
        assert_eq!(divide(1, &[0]).0, ["(0,1)"]);
        assert_eq!(divide(2, &[1]).0, ["(1,1)"]);
    }

    #[test]
    fn the_rest_is_given_up_after_many() {
        let all: Vec<usize> = (0..1_000).collect();
        let (failed, given_up, attempts) = divide(1_000, &all);
        assert_eq!((failed.len(), given_up), (20, 980));
        assert!(attempts < 60, "{attempts}");
    }
}
