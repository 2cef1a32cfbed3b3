//! The indexes that a team may leave out: those that only reads use.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::lists::NOT_IN_FORCE;
use super::{Class, Declared, Difference, Facts, Kind, Object, is_same};

/// The key in table `table` of sessctl.toml.
pub(crate) const WITHOUT_INDEXES: &str = "without-indexes";

/// An index of public.user_sessions that maintenance does without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OptionalIndex(&'static str);

impl OptionalIndex {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [
        Self("idx_user_sessions_platform"),
        Self("idx_user_sessions_status"),
        Self("idx_user_sessions_started_at"),
        Self("idx_user_sessions_last_activity"),
    ];

    pub(crate) fn name(self) -> &'static str {
        self.0
    }

    pub(crate) fn object(self) -> Object {
        Object::new(Kind::Index, self.0)
    }

    /// Those that a declaration leaves out. A name that none of them has does not count.
    pub(crate) fn omitted(declared: &Declared) -> Vec<Self> {
        declared
            .get(WITHOUT_INDEXES)
            .map_or_else(Vec::new, |names| Self::omitted_by(names))
    }

    /// Those of these names.
    pub(crate) fn omitted_by(names: &[String]) -> Vec<Self> {
        let is_omitted = |index: &Self| names.iter().any(|name| name == index.0);
        Self::ALL.into_iter().filter(is_omitted).collect()
    }
}

impl FromStr for OptionalIndex {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let index = Self::ALL.into_iter().find(|index| index.0 == text);
        index.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("it may have those that only reads use: {names}")
        })
    }
}

impl fmt::Display for OptionalIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for OptionalIndex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// Takes the indexes that `in_force` leaves out off the expected facts. The note is about a declaration (`wanted`) that is not in
/// force.
pub(super) fn expect_without(expected: &mut Facts, in_force: &Declared, wanted: &Declared) -> Option<Difference> {
    for index in OptionalIndex::omitted(in_force) {
        expected.remove(&index.object());
    }
    let current = in_force.get(WITHOUT_INDEXES).map_or(&[][..], Vec::as_slice);
    let wanted = wanted.get(WITHOUT_INDEXES)?;
    let names = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    (!is_same(wanted, current)).then(|| Difference {
        object: Object::sessions(),
        property: WITHOUT_INDEXES.into(),
        expected: Some(names(wanted)),
        found: Some(names(current)),
        note: Some(NOT_IN_FORCE),
        class: Class::Extra,
    })
}

/// An index that is there, and that the declaration in force leaves out, is drift.
pub(super) fn judge(difference: Difference, in_force: &Declared) -> Difference {
    let is_omitted = || {
        let mut omitted = OptionalIndex::omitted(in_force).into_iter();
        omitted.any(|index| index.object() == difference.object)
    };
    if difference.property != "present" || !is_omitted() {
        return difference;
    }
    Difference {
        note: Some("declared in without-indexes; it costs every write"),
        class: Class::Drift,
        ..difference
    }
}
