//! The rows of a part that are not written yet, column by column.

use std::io::Write;
use std::mem::take;

use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::SerializedFileWriter;

use super::columns::{Columns, Kind, micros};

/// What a value takes beside its bytes: its level, and where a text ends.
const VALUE_COST: usize = 16;

/// The values of a column. `levels`: 1 for each value, 0 for each NULL.
#[derive(Debug, Default)]
struct Values {
    levels: Vec<i16>,
    longs: Vec<i64>,
    integers: Vec<i32>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Rows that become one row group.
#[derive(Debug)]
pub(super) struct Buffer {
    kinds: Vec<Kind>,
    values: Vec<Values>,
    rows: usize,
    bytes: usize,
}

impl Buffer {
    pub(super) fn new(columns: &Columns) -> Self {
        let kinds: Vec<Kind> = columns.kinds().collect();
        Self {
            values: kinds.iter().map(|_| Values::default()).collect(),
            kinds,
            rows: 0,
            bytes: 0,
        }
    }

    /// About how much memory the rows take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a row: a text for each column of the table, NULL where absent. A time that no file can hold is
    /// NULL, and named in the flag.
    pub(super) fn push(&mut self, columns: &Columns, row: &[Option<&str>]) {
        let mut out_of_reach = String::new();
        for (at, (column, text)) in columns.list.iter().zip(row).enumerate() {
            let Some(text) = text else {
                self.push_null(at);
                continue;
            };
            match column.kind {
                Kind::Text => self.push_text(at, text),
                Kind::Integer => match text.parse() {
                    Ok(number) => self.push_integer(at, number),
                    Err(_) => self.push_null(at),
                },
                Kind::Long => match text.parse() {
                    Ok(number) => self.push_long(at, number),
                    Err(_) => self.push_null(at),
                },
                Kind::Time => match micros(text) {
                    Some(time) => self.push_long(at, time),
                    None => {
                        self.push_null(at);
                        if !out_of_reach.is_empty() {
                            out_of_reach.push_str(", ");
                        }
                        out_of_reach.push_str(&format!("{}={text}", column.name));
                    }
                },
            }
        }
        let flag = columns.len();
        if out_of_reach.is_empty() {
            self.push_null(flag);
        } else {
            self.push_text(flag, &out_of_reach);
        }
        self.rows += 1;
    }

    fn push_null(&mut self, at: usize) {
        self.values[at].levels.push(0);
        self.bytes += 2;
    }

    fn push_level(&mut self, at: usize) {
        self.values[at].levels.push(1);
        self.bytes += VALUE_COST;
    }

    fn push_integer(&mut self, at: usize, number: i32) {
        self.values[at].integers.push(number);
        self.push_level(at);
    }

    fn push_long(&mut self, at: usize, number: i64) {
        self.values[at].longs.push(number);
        self.push_level(at);
    }

    fn push_text(&mut self, at: usize, text: &str) {
        let values = &mut self.values[at];
        values.bytes.extend_from_slice(text.as_bytes());
        values.ends.push(values.bytes.len());
        self.bytes += text.len();
        self.push_level(at);
    }

    /// Writes the rows as a row group, and is empty then.
    pub(super) fn flush<W: Write + Send>(&mut self, file: &mut SerializedFileWriter<W>) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = file.next_row_group()?;
        for (kind, values) in self.kinds.iter().zip(&mut self.values) {
            let Values {
                levels,
                longs,
                integers,
                bytes,
                ends,
            } = take(values);
            let missing = || ParquetError::General("a column is missing".into());
            let mut column = group.next_column()?.ok_or_else(missing)?;
            match kind {
                Kind::Time | Kind::Long => column.typed::<Int64Type>().write_batch(&longs, Some(&levels), None)?,
                Kind::Integer => column
                    .typed::<Int32Type>()
                    .write_batch(&integers, Some(&levels), None)?,
                Kind::Text => {
                    let texts = texts(bytes, &ends);
                    column
                        .typed::<ByteArrayType>()
                        .write_batch(&texts, Some(&levels), None)?
                }
            };
            column.close()?;
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

/// The texts of a column: parts of one buffer.
fn texts(bytes: Vec<u8>, ends: &[usize]) -> Vec<ByteArray> {
    let all = ByteArray::from(bytes);
    let mut start = 0;
    let slice = |end: &usize| {
        let text = all.slice(start, end - start);
        start = *end;
        text
    };
    ends.iter().map(slice).collect()
}
