//! Statements with named parameters, sent as text.
//!
//! A transaction whose beginning, statement and commit are one message is all or nothing: where the beginning fails, the
//! server drops the rest. Parameters of the protocol would need a message of their own, so values are quoted here.

use postgres_protocol::escape::escape_literal;

/// A value for a named parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Int(i64),
    Bool(bool),
    Null,
}

impl Value<'_> {
    fn literal(self) -> String {
        match self {
            Self::Text(text) => escape_literal(text),
            Self::Int(number) => number.to_string(),
            Self::Bool(true) => "true".into(),
            Self::Bool(false) => "false".into(),
            Self::Null => "null".into(),
        }
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Value::Null, Value::Text)
    }
}

/// The statement with each `:name` replaced by its value as a literal, and without its comment lines. A name that has no
/// value stays as it is, and the server refuses the statement.
pub(crate) fn bind(sql: &str, values: &[(&str, Value<'_>)]) -> String {
    let is_name = |character: char| character == '_' || character.is_ascii_lowercase();
    let lines: Vec<&str> = sql
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .collect();
    let sql = lines.join("\n");
    let mut bound = String::with_capacity(sql.len());
    let mut rest = sql.as_str();
    while let Some(at) = rest.find(':') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        bound.push_str(before);
        // A cast is two colons, and the name behind them a type.
        if let Some(after) = after.strip_prefix(':') {
            bound.push_str("::");
            rest = after;
            continue;
        }
        let name = &after[..after.find(|character| !is_name(character)).unwrap_or(after.len())];
        match values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => bound.push_str(&value.literal()),
            None => {
                bound.push(':');
                bound.push_str(name);
            }
        }
        rest = &after[name.len()..];
    }
    bound.push_str(rest);
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_literals_and_casts_stay() {
        let sql = "-- :a is a number\nselect :a, :b::text, :c, :d, ':'";
        let values = [
            ("a", Value::Int(-1)),
            ("b", Value::Text("it's")),
            ("c", Value::Bool(true)),
            ("d", Value::Null),
        ];
        assert_eq!(bind(sql, &values), "select -1, 'it''s'::text, true, null, ':'");
    }

    #[test]
    fn a_value_can_not_end_its_literal() {
        let bound = bind("select :a", &[("a", Value::Text(r"\'; drop table x; --"))]);
        assert_eq!(bound, r"select  E'\\''; drop table x; --'");
    }

    #[test]
    fn a_name_without_a_value_is_left_for_the_server_to_refuse() {
        assert_eq!(bind("select :ab", &[("a", Value::Int(1))]), "select :ab");
    }
}
