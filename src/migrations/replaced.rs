//! What migrations drop, replace and revoke of what is there. Each declares it in comments, one a line:
//!
//! - `-- sessctl: drops OBJECT (WHY)`: an object of the original script that the schema does not have;
//! - `-- sessctl: replaces KIND`: objects of this kind that differ from the migration's;
//! - `-- sessctl: revokes rights on OBJECT`: rights of the API's roles that the migrations don't grant; on a schema, also
//!   those on what is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use refinery::Migration;

use crate::schema::{API_ROLES, Class, Difference, Facts, Grant, Kind, LISTS, Object, Origins, compare, words};

const PREFIX: &str = "-- sessctl: ";

/// One line of a migration about what was there before it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Declaration {
    Drops { object: Object, why: String },
    Replaces(Kind),
    Revokes(Object),
}

impl FromStr for Declaration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(object) = text.strip_prefix("revokes rights on ") {
            return Ok(Self::Revokes(object.parse()?));
        }
        if let Some(kind) = text.strip_prefix("replaces ") {
            return Ok(Self::Replaces(kind.parse()?));
        }
        let dropped = text.strip_prefix("drops ").and_then(|text| text.strip_suffix(')'));
        let Some((object, why)) = dropped.and_then(|text| text.split_once(" (")) else {
            return Err(format!("not a declaration: {text}"));
        };
        Ok(Self::Drops {
            object: object.parse()?,
            why: why.to_owned(),
        })
    }
}

/// What some migrations declare.
pub(super) struct Declarations(Vec<Declaration>);

impl Declarations {
    /// Those of these migrations.
    ///
    /// # Panics
    /// Where one is malformed, which a test would have seen.
    pub(super) fn of(migrations: &[Migration]) -> Self {
        let sql = migrations.iter().filter_map(Migration::sql);
        let declarations = sql.map(|sql| parse(sql).expect("a test reads every declaration"));
        Self(declarations.flatten().collect())
    }

    /// Every object that is dropped, and why.
    pub(super) fn all_drops(&self) -> Vec<(Object, String)> {
        let drops = self.0.iter().filter_map(|declaration| match declaration {
            Declaration::Drops { object, why } => Some((object.clone(), why.clone())),
            _ => None,
        });
        drops.collect()
    }

    /// Why this object is dropped, absent where it is not.
    pub(super) fn drops(&self, dropped: &Object) -> Option<&str> {
        self.0.iter().find_map(|declaration| match declaration {
            Declaration::Drops { object, why } if object == dropped => Some(why.as_str()),
            _ => None,
        })
    }

    fn replaces(&self, kind: Kind) -> bool {
        self.0.contains(&Declaration::Replaces(kind))
    }

    /// Whether rights on this object are revoked.
    pub(super) fn revokes(&self, object: &Object) -> bool {
        self.0
            .iter()
            .any(|declaration| matches!(declaration, Declaration::Revokes(holder) if holds(holder, object)))
    }

    /// The objects that are there and are dropped, those that are created again too.
    pub(super) fn dropped(&self, expected: &Facts, found: &Facts) -> Vec<Object> {
        let differences = compare(expected, found);
        let is_dropped = |object: &&Object| {
            self.drops(object).is_some() || self.replaces(object.kind) && must_be_dropped(object, &differences)
        };
        found.keys().filter(is_dropped).cloned().collect()
    }

    /// What becomes of what is there.
    pub(super) fn lines(&self, expected: &Facts, found: &Facts, origins: &Origins) -> Lines {
        let differences = compare(expected, found);
        let mut lines = Lines::default();
        // By object and role, so that rights of one kind are one line.
        let (mut needless, mut roles) = (Vec::new(), BTreeSet::new());
        let mut used: BTreeMap<(&Object, &str), Vec<&str>> = BTreeMap::new();
        for difference in &differences {
            let Some(line) = self.line(difference, &differences, expected, found) else {
                continue;
            };
            let is_risk = origins.may_break_clients(difference, expected, found);
            match Grant::of(&difference.property) {
                Some(grant) if is_risk => used
                    .entry((&difference.object, grant.role))
                    .or_default()
                    .push(grant.right),
                Some(grant) if grant.is_of_api() => {
                    roles.insert(grant.role);
                    needless.push(line.clone());
                }
                _ => lines.add(&line, is_risk),
            }
            // An object may differ in more than one property.
            if !lines.all.contains(&line) {
                lines.all.push(line);
            }
        }
        let mut by_rights: BTreeMap<(&Object, String), Vec<&str>> = BTreeMap::new();
        for ((object, role), rights) in used {
            let rights = rights.join(", ");
            if API_ROLES.contains(&role) {
                by_rights.entry((object, rights)).or_default().push(role);
            } else {
                lines.add(&format!("revokes {rights} on {object} from {role}"), true);
            }
        }
        for ((object, rights), roles) in by_rights {
            lines.add(&format!("revokes {rights} on {object} from {}", listed(&roles)), true);
        }
        if needless.len() > 1 {
            let roles = listed(&roles.into_iter().collect::<Vec<_>>());
            let number = needless.len();
            needless = vec![format!("revokes {number} rights of {roles} that the API does not need")];
        }
        lines.short.append(&mut needless);
        lines
    }

    fn line(&self, difference: &Difference, all: &[Difference], expected: &Facts, found: &Facts) -> Option<String> {
        let Difference {
            object,
            property,
            class,
            ..
        } = difference;
        let told = || words(difference, all, found, expected);
        if Grant::of(property).is_some() && difference.expected.is_none() {
            let is_revoked = *class == Class::Drift && self.revokes(object);
            let is_lost = is_revoked
                || object.kind == Kind::Function && self.replaces(object.kind) && must_be_dropped(object, all);
            return told().filter(|_| is_lost);
        }
        if let Some(why) = self.drops(object) {
            return (property == "present").then(|| format!("drops {object} ({why})"));
        }
        if property == "present" {
            // A list's own step tells of its CHECK.
            let is_added = object.kind == Kind::Constraint
                && difference.expected.is_some()
                && found.contains_key(&Object::sessions())
                && LISTS.iter().all(|list| list.object() != *object);
            return told().filter(|_| is_added && !object.is_private() && self.replaces(object.kind));
        }
        let stays = ["owner", "owner lacks"].contains(&property.as_str()) || *class == Class::Extra;
        let is_changed = !stays && !object.is_private() && self.replaces(object.kind);
        told().filter(|_| is_changed)
    }
}

/// What migrations do to what is there, a line each.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) all: Vec<String>,
    /// The same with rights of one kind in one line.
    pub(super) short: Vec<String>,
    /// Those of the short ones that clients may depend on.
    pub(super) risks: Vec<String>,
}

impl Lines {
    fn add(&mut self, line: &str, is_risk: bool) {
        let lists = [Some(&mut self.short), Some(&mut self.risks).filter(|_| is_risk)];
        for list in lists.into_iter().flatten() {
            if !list.iter().any(|other| other == line) {
                list.push(line.to_owned());
            }
        }
    }
}

/// Names in a sentence.
fn listed(names: &[&str]) -> String {
    match names {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        names => names.concat(),
    }
}

/// The declarations in a migration's text.
fn parse(sql: &str) -> Result<Vec<Declaration>, String> {
    sql.lines()
        .filter(|line| *line != super::NO_TRANSACTION)
        .filter_map(|line| line.strip_prefix(PREFIX))
        .map(Declaration::from_str)
        .collect()
}

/// Whether rights on `object` are rights on `holder`: the object itself, a column of it, or a part of the schema.
fn holds(holder: &Object, object: &Object) -> bool {
    object == holder || object.is_part_of(holder) && (holder.kind == Kind::Schema || object.kind == Kind::Column)
}

/// Whether `create or replace` can't make of this public function or view what it should be: a function of another result,
/// or a view of other columns.
fn must_be_dropped(object: &Object, differences: &[Difference]) -> bool {
    let properties: &[&str] = match object.kind {
        Kind::Function => &["kind", "arguments", "result"],
        Kind::View => &["columns"],
        _ => return false,
    };
    let differs = |d: &Difference| d.object == *object && d.found.is_some() && properties.contains(&&*d.property);
    !object.is_private() && differences.iter().any(differs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::all;
    use crate::schema::snapshot;

    /// How many of the migrations declare something like this.
    fn count(is_meant: impl Fn(&Declaration) -> bool) -> usize {
        let declares = |migration: &Migration| parse(migration.sql().unwrap()).unwrap().iter().any(&is_meant);
        all().iter().filter(|migration| declares(migration)).count()
    }

    #[test]
    fn every_kind_is_replaced_by_exactly_one_migration() {
        for kind in [
            Kind::Table,
            Kind::Column,
            Kind::Constraint,
            Kind::Index,
            Kind::Policy,
            Kind::Trigger,
            Kind::Function,
            Kind::View,
        ] {
            assert_eq!(count(|d| *d == Declaration::Replaces(kind)), 1, "{kind}");
        }
    }

    #[test]
    fn rights_on_every_object_are_revoked_by_exactly_one_migration() {
        for object in snapshot().keys() {
            if matches!(object.kind, Kind::Schema | Kind::Table | Kind::View | Kind::Function) {
                let revokes = |d: &Declaration| matches!(d, Declaration::Revokes(holder) if holds(holder, object));
                assert_eq!(count(revokes), 1, "{object}");
            }
        }
    }

    #[test]
    fn a_declaration_is_about_an_object_that_its_migration_names() {
        let snapshot = snapshot();
        for migration in all() {
            let sql = migration.sql().unwrap();
            for declaration in parse(sql).unwrap() {
                match declaration {
                    Declaration::Drops { object, .. } => {
                        assert!(!snapshot.contains_key(&object), "{object} is in the schema");
                        let code = sql.lines().filter(|line| !line.starts_with("--"));
                        let mut drops = code.filter(|line| line.contains("drop "));
                        assert!(drops.any(|line| line.contains(&object.name)), "{object} is not dropped");
                    }
                    Declaration::Revokes(object) => {
                        assert!(snapshot.contains_key(&object), "{object} is not in the schema");
                        assert!(sql.contains("revoke all on"), "{migration} revokes nothing");
                    }
                    Declaration::Replaces(_) => assert!(sql.contains("drop "), "{migration} drops nothing"),
                }
            }
        }
    }

    #[test]
    fn the_view_is_dropped_where_its_columns_are_not_those_of_the_snapshot() {
        let view = Object::new(Kind::View, "public.active_sessions_summary");
        let columns = format!("<> '{}'", snapshot()[&view]["columns"]);
        let compares = |migration: &&Migration| migration.sql().unwrap().contains(&columns);
        assert_eq!(all().iter().filter(compares).count(), 1);
    }

    #[test]
    fn a_malformed_declaration_is_an_error() {
        for line in [
            "drops index a",
            "drops a (why)",
            "replaces everything",
            "revokes rights on",
            "reverts policy",
        ] {
            assert!(parse(&format!("{PREFIX}{line}\nselect 1")).is_err(), "{line}");
        }
        assert_eq!(parse(super::super::NO_TRANSACTION), Ok(Vec::new()));
    }
}
