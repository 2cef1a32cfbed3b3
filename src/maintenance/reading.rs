//! The sessions of a round, read into the parts that are being written. Each look is a transaction of its own, which has ended when
//! its rows are written: each row is read in the version that was listed, and deleted in the version that was read.

use std::collections::HashSet;

use postgres_protocol::escape::escape_literal;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_postgres::SimpleQueryRow;

use super::archiving::{Trouble, blocking};
use super::outcome::Written;
use super::run::Run;
use crate::archive::{Columns, Row, Writer, estimate};
use crate::database::{QueryError, READ_ONLY_TRANSACTION, Value};
use crate::failure::Failure;

/// Maximum rows of a round, and so of a part.
const ROUND: u64 = 250_000;

/// Maximum sessions that are listed at once.
const SLICE: i32 = 16_000;

/// Maximum bytes and rows that are read at once, what a row costs beside its values, and how much longer than that an answer may
/// be: by 200 bytes a row.
const CHUNK_BYTES: usize = 900_000;
const CHUNK_ROWS: usize = 3_000;
const ROW_COST: usize = 300;
const SLACK: usize = 600_000;

/// Rows are read by their places, however small the table is, and their texts are the same whatever the role has set.
const BY_PLACE: &str = "set transaction read only; set local enable_seqscan = off; set local enable_tidscan = on; \
    set local random_page_cost = 0.01; set local datestyle = 'ISO, YMD'; set local intervalstyle = 'postgres'; \
    set local bytea_output = 'hex'; set local extra_float_digits = 1";

/// Maximum bytes of a row. A larger one stays in the table.
const MAX_ROW: usize = 64_000_000;

/// How many sessions a dry run reads for its estimate.
const SAMPLE: i32 = 2_000;

/// Sessions to read, and where the next ones are.
#[derive(Deserialize)]
struct Slice {
    candidates: String,
    next_position: Option<String>,
}

/// A session to read: its place and version, and at most how long its values are.
struct Candidate<'a> {
    row_id: &'a str,
    row_version: &'a str,
    bytes: usize,
    /// The place as a number.
    place: u64,
}

impl<'a> Candidate<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(':');
        let row_id = parts.next()?;
        let (block, row) = row_id.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
        Some(Self {
            row_id,
            place: block.parse::<u64>().ok()? << 16 | row.parse::<u64>().ok()?,
            row_version: parts.next()?,
            bytes: parts.next()?.parse().ok()?,
        })
    }
}

impl Run<'_> {
    /// Reads the sessions of a round, and says where the scan goes on.
    pub(super) async fn read_round(&mut self, cutoff: &str) -> Result<(Writer, Option<String>), Trouble> {
        let Some(archiver) = &self.archiver else {
            return Err(Trouble::Failed(Failure::new("archive: not prepared")));
        };
        let columns = archiver.columns.clone();
        let mut writer = Writer::new(columns.clone(), archiver.folder.clone());
        let mut position = self.strategy.next(0).map(ToOwned::to_owned);
        // A run whose time is bounded leaves two thirds of it to storing and deleting.
        let begun = Instant::now();
        let until = self
            .halts
            .deadline
            .map(|deadline| begun + deadline.saturating_duration_since(begun) / 3);
        let mut taken = HashSet::new();
        loop {
            let left = i32::try_from(ROUND - writer.rows()).unwrap_or(SLICE);
            let max_rows = self.size.rows().saturating_mul(8).min(SLICE).min(left);
            let sql = self.slice_sql(cutoff, max_rows, position.as_deref());
            let slice: Slice = self
                .until_halted(self.database.transact(READ_ONLY_TRANSACTION, &sql))
                .await??;
            for chunk in self.chunks(&slice.candidates, &mut taken) {
                let rows = self.until_halted(self.read_rows(&chunk, &columns)).await??;
                writer = self.beside(blocking(move || write(writer, &rows))).await???;
            }
            position = slice.next_position;
            let is_enough = writer.rows() >= ROUND || until.is_some_and(|until| Instant::now() >= until);
            if is_enough || position.is_none() {
                return Ok((writer, position));
            }
        }
    }

    fn slice_sql(&self, cutoff: &str, max_rows: i32, position: Option<&str>) -> String {
        let values = [
            ("cutoff", Value::Text(cutoff)),
            ("max_rows", Value::Int(max_rows.into())),
            ("position", position.into()),
        ];
        self.bind(include_str!("archive/slice.sql"), &values)
    }

    /// Cuts a list of sessions into what is read at once. One that is too large is left, and counted as failed. One that was taken is
    /// left out: a scan in the order of time that goes on in the order of rows begins again.
    fn chunks<'a>(&mut self, candidates: &'a str, taken: &mut HashSet<u64>) -> Vec<Vec<Candidate<'a>>> {
        let mut chunks: Vec<Vec<Candidate<'a>>> = Vec::new();
        let mut left = 0;
        let listed = candidates.split(' ').filter_map(Candidate::parse);
        for candidate in listed.filter(|candidate| taken.insert(candidate.place)) {
            if candidate.bytes > MAX_ROW {
                if self
                    .known
                    .insert(format!("{}:{}", candidate.row_id, candidate.row_version))
                {
                    let reason = format!("over {} MB in a row, more than an archive takes", MAX_ROW / 1_000_000);
                    self.unable.add(reason, None);
                }
                continue;
            }
            let cost = candidate.bytes + ROW_COST;
            match chunks.last_mut() {
                Some(chunk) if cost <= left && chunk.len() < CHUNK_ROWS => {
                    chunk.push(candidate);
                    left -= cost;
                }
                _ => {
                    chunks.push(vec![candidate]);
                    left = CHUNK_BYTES.saturating_sub(cost);
                }
            }
        }
        chunks
    }

    /// Reads sessions in the version that was listed.
    async fn read_rows(&self, chunk: &[Candidate<'_>], columns: &Columns) -> Result<Vec<SimpleQueryRow>, QueryError> {
        let list = |of: fn(&Candidate<'_>) -> String| {
            let list: Vec<String> = chunk.iter().map(of).collect();
            escape_literal(&list.join(" "))
        };
        let sql = format!(
            "select s.ctid::text, s.xmin::text, {} from unnest(string_to_array({}, ' ')::tid[], \
             string_to_array({}, ' ')::xid[]) as k (row_id, row_version) \
             join only public.user_sessions as s on s.ctid = k.row_id and s.xmin = k.row_version",
            columns.expressions().collect::<Vec<_>>().join(", "),
            list(|session| session.row_id.to_owned()),
            list(|session| session.row_version.to_owned()),
        );
        let bytes: usize = chunk.iter().map(|session| session.bytes + ROW_COST).sum();
        self.database.read_rows(BY_PLACE, &sql, bytes + SLACK).await
    }

    /// About what a run would write, from how many sessions each month has and from a sample of them.
    pub(super) async fn estimate_archive(&mut self, cutoff: &str, sessions: u64) -> Result<Written, Failure> {
        let Some(archive) = &self.work.archive else {
            return Ok(Written::default());
        };
        let columns = self.columns(archive).await?;
        let months = self.bind(include_str!("archive/months.sql"), &[("cutoff", Value::Text(cutoff))]);
        let slice = self.slice_sql(cutoff, SAMPLE, None);
        let read = async {
            let months: Vec<u64> = self.database.transact(READ_ONLY_TRANSACTION, &months).await?;
            let slice: Slice = self.database.transact(READ_ONLY_TRANSACTION, &slice).await?;
            let rows = match self.chunks(&slice.candidates, &mut HashSet::new()).first() {
                Some(chunk) => self.read_rows(chunk, &columns).await?,
                None => Vec::new(),
            };
            Ok::<_, QueryError>((months, rows))
        };
        let (months, rows) = match read.await {
            Ok(read) => read,
            Err(error) => return Err(self.database.explain(error, &self.failed()).await),
        };
        let sample = rows.len() as u64;
        let bytes = estimate(
            &columns,
            rows.iter().map(|row| values(row, &columns).unwrap_or_default()),
        )
        .map_err(|error| Failure::new(format!("archive: can't estimate: {error}")))?;
        Ok(Written {
            files: files(&months),
            sessions,
            bytes: u64::try_from(u128::from(bytes) * u128::from(sessions) / u128::from(sample.max(1)))
                .unwrap_or(u64::MAX),
        })
    }
}

/// How many parts there are: a round has one for each month that it reaches.
fn files(months: &[u64]) -> u64 {
    let mut before = 0;
    let part_of = |rows: u64| {
        let after = before + rows;
        let parts = if rows == 0 {
            0
        } else {
            (after - 1) / ROUND - before / ROUND + 1
        };
        before = after;
        parts
    };
    months.iter().copied().map(part_of).sum()
}

/// The values of the columns, which come after the row's place and version.
fn values<'a>(row: &'a SimpleQueryRow, columns: &Columns) -> Result<Vec<Option<&'a str>>, Failure> {
    let value = |at: usize| {
        row.try_get(at + 2)
            .map_err(|_| Failure::new("archive: a session has a text that is not UTF-8"))
    };
    (0..columns.len()).map(value).collect()
}

fn write(mut writer: Writer, rows: &[SimpleQueryRow]) -> Result<Writer, Failure> {
    for row in rows {
        let row = Row {
            row_id: row.get(0).unwrap_or_default(),
            row_version: row.get(1).unwrap_or_default(),
            values: values(row, writer.columns())?,
        };
        writer.push(&row)?;
    }
    Ok(writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_a_part_for_each_month() {
        for (months, parts) in [
            (&[][..], 0),
            (&[1], 1),
            (&[ROUND], 1),
            (&[ROUND + 1], 2),
            (&[ROUND - 1, 1], 2),
            (&[ROUND - 1, 2], 3),
            (&[10, 3 * ROUND], 5),
        ] {
            assert_eq!(files(months), parts, "{months:?}");
        }
    }
}
