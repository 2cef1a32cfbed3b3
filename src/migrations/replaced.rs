//! What migrations drop, replace and revoke of what is there. Each declares it in comments, one a line:
//!
//! - `-- sessctl: drops OBJECT (WHY)`: an object of the original script that the schema does not have;
//! - `-- sessctl: replaces KIND`: objects of this kind that differ from the migration's;
//! - `-- sessctl: revokes rights on OBJECT`: rights of the API's roles that the migrations don't grant; on a schema, also
//!   those on what is in it.

use std::collections::BTreeSet;
use std::str::FromStr;

use refinery::Migration;

use crate::schema::{Class, Difference, Facts, Grant, Kind, Object, compare};

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

    /// Whatever is dropped, replaced, changed or revoked, in a line each; and the same with all rights of the API's roles in one
    /// line.
    pub(super) fn lines(&self, expected: &Facts, found: &Facts) -> (Vec<String>, Vec<String>) {
        let differences = compare(expected, found);
        // An object may differ in more than one property.
        let mut seen = BTreeSet::new();
        let (mut all, mut short, mut rights, mut roles) = (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
        for difference in &differences {
            let line = self.line(difference, &differences);
            let Some(line) = line.filter(|line| seen.insert(line.clone())) else {
                continue;
            };
            match Grant::of(&difference.property) {
                Some(grant) if grant.is_of_api() => {
                    roles.insert(grant.role);
                    rights.push(line.clone());
                }
                _ => short.push(line.clone()),
            }
            all.push(line);
        }
        if rights.len() > 1 {
            let roles: Vec<&str> = roles.into_iter().collect();
            let roles = match roles.as_slice() {
                [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
                roles => roles.concat(),
            };
            let number = rights.len();
            rights = vec![format!("revokes {number} rights of {roles} that the API does not need")];
        }
        short.append(&mut rights);
        (all, short)
    }

    fn line(&self, difference: &Difference, all: &[Difference]) -> Option<String> {
        let Difference {
            object,
            property,
            expected,
            found,
            class,
            ..
        } = difference;
        if let (Some(Grant { right, role }), None) = (Grant::of(property), expected) {
            let is_revoked = *class == Class::Drift && self.revokes(object);
            let is_lost = is_revoked
                || object.kind == Kind::Function && self.replaces(object.kind) && must_be_dropped(object, all);
            return is_lost.then(|| format!("revokes {right} on {object} from {role}"));
        }
        if let Some(why) = self.drops(object) {
            return (property == "present").then(|| format!("drops {object} ({why})"));
        }
        let stays = ["present", "owner", "owner lacks"].contains(&property.as_str()) || *class == Class::Extra;
        if stays || object.is_private() || !self.replaces(object.kind) {
            return None;
        }
        let differs = |other: &str| all.iter().any(|d| d.object == *object && d.property == other);
        match (object.kind, property.as_str(), expected, found) {
            (Kind::Table, "row level security", _, Some(_)) => {
                Some(format!("turns row level security on for {object}"))
            }
            (Kind::Column, "default", Some(wanted), Some(is)) => {
                Some(format!("replaces the default of {object} ({is}) with {wanted}"))
            }
            (Kind::Column, "default", None, Some(is)) => Some(format!("drops the default of {object} ({is})")),
            (Kind::Column, "nullable", _, Some(is)) if is == "yes" => Some(format!("sets {object} not null")),
            (Kind::Column, "nullable", ..) => Some(format!("drops not null of {object}")),
            (Kind::Constraint | Kind::Index, "definition", Some(wanted), Some(is)) => {
                let is = if object.kind == Kind::Constraint {
                    format!(" ({is})")
                } else {
                    String::new()
                };
                Some(format!("replaces {object}{is} with {wanted}"))
            }
            (Kind::Constraint, "validated", ..) => Some(format!("validates {object}")),
            (Kind::View, "columns", Some(wanted), Some(is)) => Some(format!("replaces {object} ({is}) with {wanted}")),
            (Kind::View, ..) => (!differs("columns")).then(|| format!("replaces {object}")),
            (Kind::Function | Kind::Trigger, ..) => Some(format!("replaces {object}")),
            (Kind::Policy, ..) => Some(format!("replaces {object}: for authenticated alone")),
            _ => None,
        }
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
