//! Is the schema of a database what the migrations make?

use std::collections::BTreeSet;

use refinery::Migration;
use serde::Serialize;

use super::allowed::{Allowed, accept};
use super::lists::VALUES;
use super::{Class, Declared, Difference, Found, Grant, Kind, Object, compare, expect, indexes, snapshot};
use crate::migrations::{self, Applied};

/// What a team says of its schema.
#[derive(Debug, Default)]
pub(crate) struct Team {
    /// Every addition is drift, unless it is allowed.
    pub(crate) strict: bool,
    pub(crate) allow: Vec<Allowed>,
    /// The lists in its sessctl.toml. What counts is what migrate applied.
    pub(crate) declared: Declared,
}

/// A migration that the database lacks.
#[derive(Debug, Serialize)]
pub struct Pending {
    /// Its version.
    pub version: i32,
    /// Its name, as in its file's name.
    pub name: String,
}

/// What a database has beside what it should have.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// Whether nothing is pending and nothing drifted.
    pub ok: bool,
    /// The newest version applied, 0 where none was.
    pub version: i32,
    /// Whether the schema is there and its history is not: a copy without rows.
    pub unrecorded: bool,
    /// The migrations that the database lacks, oldest first.
    pub pending: Vec<Pending>,
    /// What is not as the migrations make it.
    pub drift: Vec<Difference>,
    /// Additions that are no drift.
    pub extra: Vec<Difference>,
    /// Additions that the caller allows.
    pub allowed: Vec<Difference>,
    /// What the caller allows and is not there.
    pub absent: Vec<Allowed>,
}

impl Verdict {
    /// Judges what was found.
    pub fn of(found: &Found, team: &Team) -> Self {
        let Team {
            strict,
            allow,
            declared,
        } = team;
        let applied = found.history().unwrap_or_default();
        let ours = migrations::all();
        let is_pending = |m: &&Migration| applied.iter().all(|a| a.version != m.version());
        let pending = ours.iter().filter(is_pending).map(|m| Pending {
            version: m.version(),
            name: m.name().to_owned(),
        });
        let mut verdict = Self {
            ok: true,
            version: applied.last().map_or(0, |a| a.version),
            unrecorded: applied.is_empty() && found.facts().contains_key(&Object::new(Kind::Table, "sessctl.job")),
            pending: pending.collect(),
            drift: applied.iter().filter_map(|a| history_difference(a, &ours)).collect(),
            extra: Vec::new(),
            allowed: Vec::new(),
            absent: Vec::new(),
        };
        // Of a database that sessctl has never been in, the pending migrations say it all.
        if !applied.is_empty() || found.facts().contains_key(&Object::schema()) {
            let mut expected = snapshot();
            let in_force = found.declared(declared);
            let notes = expect(&mut expected, found.facts(), &in_force, declared);
            let mut used = BTreeSet::new();
            for difference in compare(&expected, found.facts()).into_iter().chain(notes) {
                let difference = indexes::judge(difference, &in_force);
                let (is_allowed, by) = accept(allow, &difference, expected.contains_key(&difference.object));
                used.extend(by);
                if is_allowed {
                    verdict.allowed.push(difference);
                } else if difference.class == Class::Drift || *strict {
                    verdict.drift.push(difference);
                } else {
                    verdict.extra.push(difference);
                }
            }
            let absent = allow.iter().enumerate().filter(|(index, _)| !used.contains(index));
            verdict.absent = absent.map(|(_, allowed)| allowed.clone()).collect();
        }
        verdict.ok = verdict.pending.is_empty() && verdict.drift.is_empty();
        verdict
    }
}

/// What is said of a database whose schema is there, and whose history of migrations is not.
pub(crate) const UNRECORDED: &str =
    "the schema is there, and its history of migrations is empty, as in a preview branch or another copy without rows";

/// What to do about it.
pub(crate) const ADOPT: &str = "run sessctl migrate: it adopts what is there, and keeps the sessions";

impl Verdict {
    /// What to do about the drift.
    pub(crate) fn hint(&self) -> &'static str {
        let is_newer = |d: &Difference| d.object.kind == Kind::Migration && d.expected.is_none();
        // Rights are revoked from the API's roles on our objects; what a role has by itself is not the schema's.
        let is_repaired = |d: &Difference| {
            let is_right = Grant::of(&d.property).is_some_and(Grant::is_of_api) && snapshot().contains_key(&d.object);
            let is_ours = d.class == Class::Drift && d.object.kind != Kind::Role;
            is_ours && (d.expected.is_some() || is_right || d.property == "owner lacks")
        };
        if !self.pending.is_empty() {
            return "run sessctl migrate";
        }
        if self.drift.iter().any(is_newer) {
            return "install the newer sessctl that migrated it";
        }
        if !self.drift.is_empty() && self.drift.iter().all(|d| d.property == VALUES) {
            return "name all values in sessctl.toml, then run sessctl migrate";
        }
        match (self.drift.iter().any(is_repaired), self.drift.iter().all(is_repaired)) {
            (true, true) => "run sessctl migrate --repair: it puts back sessctl's own objects",
            (true, false) => {
                "run sessctl migrate --repair: it puts back sessctl's own objects; drop what is extra, or --allow it"
            }
            _ => "drop what is extra, or --allow it",
        }
    }
}

/// What is wrong with a row of the history, if anything is.
fn history_difference(applied: &Applied, ours: &[Migration]) -> Option<Difference> {
    let object = Object::new(Kind::Migration, format!("V{} {}", applied.version, applied.name));
    let difference = |property: &str, expected: Option<String>, found: &str, note| Difference {
        object: object.clone(),
        property: property.into(),
        expected,
        found: Some(found.into()),
        note: Some(note),
        class: Class::Drift,
    };
    match ours.iter().find(|m| m.version() == applied.version) {
        None => Some(difference(
            "present",
            None,
            &applied.applied_on,
            "a newer sessctl has been here",
        )),
        Some(ours) if !applied.matches(ours) => Some(difference(
            "checksum",
            Some(ours.checksum().to_string()),
            &applied.checksum,
            "another text was applied under this version",
        )),
        Some(_) => None,
    }
}
