//! The columns of an archive: those of the table, each with the type it has in the files, when the row was read, and which of its
//! times no file can hold.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::errors::Result;
use parquet::schema::types::{Type, TypePtr};
use serde::Deserialize;

/// The column that names the times which are infinite, or further than microseconds of 64 bits reach.
const FLAG: &str = "infinite_times";

/// The column with the time at which a row was read: where a session stands in several parts, the newest counts.
const READ_AT: &str = "archived_at";
const READ_AT_SQL: &str = "encode(timestamptz_send(now()), 'hex')";

/// What the folder of a month is called: engines read it as a column, so the table's may not have this name.
pub(super) const MONTH: &str = "ended_month";

/// A column of the table.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The expression that reads it, of a row s: a text; of a time see [`micros`].
    pub(crate) sql: String,
}

/// The type that a column has in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Microseconds since 1970, UTC.
    Time,
    Integer,
    Long,
    Text,
}

/// What lies between 1970 and 2000, in microseconds.
const YEAR_2000: i64 = 946_684_800_000_000;

/// A time in microseconds since 1970, from 16 hex digits of microseconds since 2000. Another text is a time that no file can hold.
pub(super) fn micros(text: &str) -> Option<i64> {
    let bits = u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16)?;
    bits.cast_signed().checked_add(YEAR_2000)
}

/// All columns, and where those are that a part is named and deleted by.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    pub(super) list: Vec<Column>,
    pub(super) id: usize,
    pub(super) ended_at: usize,
}

impl Columns {
    /// Absent where the table lacks `id` or `ended_at`, or has them with other types.
    pub(crate) fn new(mut list: Vec<Column>) -> Option<Self> {
        let place = |name: &str, kind: Kind| {
            list.iter()
                .position(|column| column.name == name && column.kind == kind)
        };
        let (id, ended_at) = (place("id", Kind::Text)?, place("ended_at", Kind::Time)?);
        for at in 0..list.len() {
            let is_taken = |name: &str| {
                let name = name.to_lowercase();
                let others = list.iter().enumerate().filter(|(other, _)| *other != at);
                // Engines that take no account of case would read two columns as one.
                [FLAG, MONTH, READ_AT].contains(&name.as_str())
                    || others.clone().any(|(_, other)| other.name.to_lowercase() == name)
            };
            let mut name = list[at].name.clone();
            let is_ours = at == id || at == ended_at;
            while !is_ours && is_taken(&name) {
                name.push('_');
            }
            list[at].name = name;
        }
        list.push(Column {
            name: READ_AT.into(),
            kind: Kind::Time,
            sql: READ_AT_SQL.into(),
        });
        Some(Self { list, id, ended_at })
    }

    /// The expressions that read a row s, in order.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|column| column.sql.as_str())
    }

    /// How many values a row has.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The types of the files: those of the columns, and the flag's.
    pub(super) fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.list.iter().map(|column| column.kind).chain([Kind::Text])
    }

    pub(super) fn schema(&self) -> Result<TypePtr> {
        let names = self.list.iter().map(|column| column.name.as_str()).chain([FLAG]);
        let fields = names.zip(self.kinds()).map(|(name, kind)| {
            let (physical, logical) = match kind {
                Kind::Time => (
                    PhysicalType::INT64,
                    Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
                ),
                Kind::Integer => (PhysicalType::INT32, None),
                Kind::Long => (PhysicalType::INT64, None),
                Kind::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            };
            let field = Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .build()?;
            Ok(Arc::new(field))
        });
        let fields = fields.collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(
            Type::group_type_builder("session").with_fields(fields).build()?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: Kind) -> Column {
        Column {
            name: name.into(),
            kind,
            sql: String::new(),
        }
    }

    #[test]
    fn a_column_of_the_team_gives_way_to_a_name_that_is_taken() {
        let list = vec![
            column("id", Kind::Text),
            column("ended_at", Kind::Time),
            column("Ended_At", Kind::Text),
            column("infinite_times", Kind::Text),
            column("ENDED_MONTH", Kind::Text),
            column("infinite_times_", Kind::Text),
            column("archived_at", Kind::Text),
        ];
        let columns = Columns::new(list).unwrap();
        let names: Vec<&str> = columns.list.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "id",
                "ended_at",
                "Ended_At_",
                "infinite_times__",
                "ENDED_MONTH_",
                "infinite_times_",
                "archived_at_",
                "archived_at"
            ]
        );
        assert_eq!(columns.schema().unwrap().get_fields().len(), 9);
    }

    #[test]
    fn a_time_is_hex_digits_since_2000_and_nothing_else() {
        assert_eq!(micros("0000000000000000"), Some(YEAR_2000));
        assert_eq!(micros("ffffffffffffffff"), Some(YEAR_2000 - 1));
        for text in [
            "infinity",
            "-infinity",
            "7fffffffffffffff",
            "0",
            "",
            "294260-01-01 00:00:00+00",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }

    #[test]
    fn without_an_end_there_is_nothing_to_archive_by() {
        assert!(Columns::new(vec![column("id", Kind::Text)]).is_none());
        assert!(Columns::new(vec![column("id", Kind::Text), column("ended_at", Kind::Text)]).is_none());
    }
}
