//! The name of a database object, its kind first.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::difference::API_ROLES;

/// The kinds of objects, in the order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Kind {
    Column,
    Constraint,
    ForeignTable,
    Function,
    Index,
    MaterializedView,
    Migration,
    PartitionedTable,
    Policy,
    Role,
    Rule,
    Schema,
    Sequence,
    Table,
    Trigger,
    View,
}

impl Kind {
    const ALL: [Self; 16] = [
        Self::Column,
        Self::Constraint,
        Self::ForeignTable,
        Self::Function,
        Self::Index,
        Self::MaterializedView,
        Self::Migration,
        Self::PartitionedTable,
        Self::Policy,
        Self::Role,
        Self::Rule,
        Self::Schema,
        Self::Sequence,
        Self::Table,
        Self::Trigger,
        Self::View,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Column => "column",
            Self::Constraint => "constraint",
            Self::ForeignTable => "foreign table",
            Self::Function => "function",
            Self::Index => "index",
            Self::MaterializedView => "materialized view",
            Self::Migration => "migration",
            Self::PartitionedTable => "partitioned table",
            Self::Policy => "policy",
            Self::Role => "role",
            Self::Rule => "rule",
            Self::Schema => "schema",
            Self::Sequence => "sequence",
            Self::Table => "table",
            Self::Trigger => "trigger",
            Self::View => "view",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind = Self::ALL.into_iter().find(|kind| kind.word() == text);
        kind.ok_or_else(|| format!("unknown kind of object: {text}"))
    }
}

/// An object, written as `policy NAME`, `column public.user_sessions.NAME`, `trigger NAME on TABLE`.
///
/// Policies, constraints, indexes and triggers of `public.user_sessions` have no schema in their names; constraints and
/// indexes of a private table have its name before theirs: `index sessctl.schema_history.NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its name; arguments of functions included.
    pub name: String,
}

impl Object {
    /// The object of this kind and name.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }

    /// Whether it is this one.
    pub fn is(&self, kind: Kind, name: &str) -> bool {
        self.kind == kind && self.name == name
    }

    /// Whether it is a part of this table or schema: `column TABLE.NAME` of `table TABLE`.
    pub fn is_part_of(&self, whole: &Self) -> bool {
        let rest = self.name.strip_prefix(&whole.name);
        rest.is_some_and(|rest| rest.starts_with('.'))
    }

    /// Whether it is in schema sessctl.
    pub fn is_private(&self) -> bool {
        self.name.starts_with("sessctl.")
    }

    /// The schema sessctl.
    pub fn schema() -> Self {
        Self::new(Kind::Schema, "sessctl")
    }

    /// The table public.user_sessions.
    pub fn sessions() -> Self {
        Self::new(Kind::Table, "public.user_sessions")
    }

    /// The name of a column of public.user_sessions, absent where it is none.
    pub fn sessions_column(&self) -> Option<&str> {
        match self.kind {
            Kind::Column => self.name.strip_prefix("public.user_sessions."),
            _ => None,
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl FromStr for Object {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of_kind = |kind: Kind| {
            let name = text.strip_prefix(kind.word())?.strip_prefix(' ')?;
            Some(Self::new(kind, name))
        };
        let object = Kind::ALL.into_iter().find_map(of_kind);
        object.ok_or_else(|| format!("not an object: {text}"))
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A right as a property of an object: `grant RIGHT to ROLE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant<'a> {
    pub(crate) right: &'a str,
    pub(crate) role: &'a str,
}

impl<'a> Grant<'a> {
    /// Absent where the property is something else.
    pub(crate) fn of(property: &'a str) -> Option<Self> {
        let (right, role) = property.strip_prefix("grant ")?.split_once(" to ")?;
        Some(Self { right, role })
    }

    /// Whether it is a right of one of the API's roles.
    pub(crate) fn is_of_api(self) -> bool {
        API_ROLES.contains(&self.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_written_and_read_the_same() {
        for kind in Kind::ALL {
            let object = Object::new(kind, "a name.of words");
            assert_eq!(object.to_string().parse(), Ok(object));
        }
        for text in ["", "policy", "policies all", "tablet x"] {
            assert!(text.parse::<Object>().is_err(), "{text}");
        }
    }

    #[test]
    fn objects_are_in_the_order_of_their_texts() {
        let objects = Kind::ALL.map(|kind| Object::new(kind, "name"));
        assert!(objects.is_sorted());
        assert!(objects.map(|object| object.to_string()).is_sorted());
    }

    #[test]
    fn a_grant_has_a_right_and_a_role() {
        let grant = Grant::of("grant select to anon").unwrap();
        assert_eq!((grant.right, grant.role), ("select", "anon"));
        assert_eq!(Grant::of("owner"), None);
    }
}
