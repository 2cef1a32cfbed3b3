//! From the difference between what the schema is and what it should be to the statements that put it back.
//!
//! Nothing here runs a migration. Functions, views and the columns of a new table come from `src/schema/objects/`; every other
//! statement is made from the facts that the snapshot has of its object, so an object of the snapshot always has one.
//! Catalog changes are one transaction. What reads or writes all rows of public.user_sessions comes after it, a step each,
//! under locks that clients work beside.

mod objects;
mod rights;
mod situation;
mod table;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::difference::policy;
use super::{Class, Difference, Facts, Found, Grant, Kind, Object, Properties, compare, words};
use crate::failure::Failure;
pub(crate) use situation::{SITUATION_SQL, Situation};
pub use wanted::Wanted;

/// Which objects use an object, by [`pg_describe_object`'s](https://www.postgresql.org/docs/current/functions-info.html)
/// words.
pub(crate) type Dependents = BTreeMap<Object, Vec<String>>;

/// One change, and the statements for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Statement {
    /// What changes, in a line.
    pub(crate) change: String,
    /// Statements with a semicolon each.
    pub(crate) sql: String,
}

/// A change that takes steps of its own, after the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Later {
    pub(crate) change: String,
    pub(crate) steps: Vec<Step>,
    /// What takes back the change where a step fails: rows may not fit.
    pub(crate) undo: Option<String>,
}

/// A step of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Statements in one transaction that waits for locks as migrations do.
    Transaction(String),
    /// The concurrent build of an index of public.user_sessions, that is none or invalid.
    Build { index: String, sql: String },
    /// A statement outside of a transaction.
    Alone(String),
}

/// What puts a schema back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Repair {
    /// One transaction, in this order.
    pub(crate) statements: Vec<Statement>,
    /// Afterwards, in this order.
    pub(crate) later: Vec<Later>,
    /// Statements that rewrite the table while every client waits, or that need a decision: for a person to run.
    pub(crate) manual: Vec<Statement>,
    /// What is not sessctl's, or not this schema's.
    pub(crate) left: Vec<Difference>,
    /// What clients may depend on, of what it changes: a line each.
    pub(crate) risks: Vec<String>,
}

impl Repair {
    /// The repair of what differs, apart from the rows of the history.
    ///
    /// # Errors
    /// A column that seems to be there under another name; objects of others that use what must be made again.
    pub(crate) fn of(
        wanted: &Wanted,
        found: &Found,
        situation: &Situation,
        dependents: &Dependents,
    ) -> Result<Self, Failure> {
        Self::between(wanted, &wanted.facts(found), found.facts(), situation, dependents)
    }

    fn between(
        wanted: &Wanted,
        expected: &Facts,
        found: &Facts,
        situation: &Situation,
        dependents: &Dependents,
    ) -> Result<Self, Failure> {
        let differences = compare(expected, found);
        let remade = objects::remade(wanted, expected, found, &differences, dependents, situation.is_empty)?;
        let mut planner = Planner {
            wanted,
            expected,
            found,
            situation,
            remade,
            now: Vec::new(),
            repair: Self::default(),
        };
        planner.drop_objects();
        let mut by_object: BTreeMap<&Object, Vec<&Difference>> = BTreeMap::new();
        for difference in &differences {
            by_object.entry(&difference.object).or_default().push(difference);
        }
        for (object, properties) in expected {
            let differing = by_object.remove(object).unwrap_or_default();
            planner.object(object, properties, &differing)?;
        }
        for difference in by_object.into_values().flatten() {
            planner.extra(difference);
        }
        planner.risks(&differences);
        Ok(planner.finish())
    }

    /// Every change that it makes, in order.
    pub(crate) fn changes(&self) -> impl Iterator<Item = &str> {
        let now = self.statements.iter().map(|statement| &*statement.change);
        now.chain(self.later.iter().map(|later| &*later.change))
    }
}

/// The order of statements in the transaction: what is needed comes before what needs it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Drop,
    Schema,
    Table,
    Column,
    Constraint,
    Index,
    Function,
    View,
    Policy,
    Trigger,
    Right,
}

struct Planner<'a> {
    wanted: &'a Wanted,
    expected: &'a Facts,
    found: &'a Facts,
    situation: &'a Situation,
    /// Objects that are there and are dropped first, in the order to drop them.
    remade: Vec<Object>,
    now: Vec<(Stage, Statement)>,
    repair: Repair,
}

impl Planner<'_> {
    fn add(&mut self, stage: Stage, change: impl Into<String>, sql: impl Into<String>) {
        let (change, sql) = (change.into(), sql.into());
        self.now.push((stage, Statement { change, sql }));
    }

    /// Whether an object is missing, or will be once the first statements ran.
    fn is_new(&self, object: &Object) -> bool {
        !self.found.contains_key(object) || self.remade.contains(object)
    }

    /// Whether a table's rows are no concern: it is private and small, empty, or missing.
    fn is_small(&self, object: &Object) -> bool {
        object.is_private() || self.situation.is_empty || self.is_new(&Object::sessions())
    }

    /// One object that should be there.
    fn object(&mut self, object: &Object, properties: &Properties, differing: &[&Difference]) -> Result<(), Failure> {
        if differing.is_empty() && !self.remade.contains(object) {
            return Ok(());
        }
        let (own, rest): (Vec<&Difference>, Vec<&Difference>) = differing
            .iter()
            .copied()
            .partition(|d| d.class == Class::Drift && Grant::of(&d.property).is_none() && d.property != "owner lacks");
        match object.kind {
            Kind::Schema if self.is_new(object) => {
                self.add(Stage::Schema, format!("creates {object}"), "create schema sessctl;")
            }
            Kind::Schema => {}
            Kind::Table => self.table(object, &own),
            Kind::Column => self.column(object, properties, &own)?,
            Kind::Constraint => self.constraint(object, properties, &own),
            Kind::Index => self.index(object, properties, &own),
            Kind::Function | Kind::View => self.routine(object, &own),
            Kind::Policy => self.policy(object, properties, &own),
            Kind::Trigger => self.trigger(object, properties, &own),
            _ => self.repair.left.extend(own.into_iter().cloned()),
        }
        self.rights(object, properties, &rest);
        Ok(())
    }

    /// One difference of an object that should not be there.
    fn extra(&mut self, difference: &Difference) {
        let Difference {
            object,
            property,
            class,
            ..
        } = difference;
        if self.is_system_column(object) {
            self.rights(object, &Properties::new(), &[difference]);
        } else if !self.remade.contains(object) && (*class == Class::Drift || property == "present") {
            self.repair.left.push(difference.clone());
        }
    }

    /// Tells what clients may depend on of what is changed.
    fn risks(&mut self, differences: &[Difference]) {
        let origins = self.wanted.origins();
        for difference in differences.iter().filter(|d| d.class == Class::Drift) {
            let Difference { object, property, .. } = difference;
            let is_former = self.remade.contains(object) && property == "present";
            let is_changed = self.expected.contains_key(object) || is_former || self.is_system_column(object);
            let is_left = property == "type" && !self.is_small(object);
            if !is_changed || is_left || !origins.may_break_clients(difference, self.expected, self.found) {
                continue;
            }
            let line = match is_former {
                true => format!("drops {object}"),
                false => words(difference, differences, self.found, self.expected)
                    .unwrap_or_else(|| format!("changes the {property} of {object}")),
            };
            if !self.repair.risks.contains(&line) {
                self.repair.risks.push(line);
            }
        }
    }

    /// A system column is no object of its own: its rights are those of the table.
    fn is_system_column(&self, object: &Object) -> bool {
        object.kind == Kind::Column && self.found.get(object).is_some_and(|found| !found.contains_key("type"))
    }

    fn finish(mut self) -> Repair {
        self.now.sort_by_key(|(stage, _)| *stage);
        let mut statements: Vec<Statement> = self.now.into_iter().map(|(_, statement)| statement).collect();
        if !statements.is_empty() {
            let last = statements.len() - 1;
            statements[last].sql.push_str("\nnotify pgrst, 'reload schema';");
        }
        Repair {
            statements,
            ..self.repair
        }
    }
}

/// A name as a statement has it: quoted where it must be.
fn ident(name: &str) -> String {
    let is_plain = |c: char| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        postgres_protocol::escape::escape_identifier(name)
    }
}

fn role(name: &str) -> String {
    if name == "PUBLIC" { "public".into() } else { ident(name) }
}

/// The table that a column, constraint, index, policy or trigger belongs to, and its own name.
fn parts(object: &Object) -> (String, &str) {
    let is_named_with_table = object.kind == Kind::Column || object.is_private();
    match object.name.rsplit_once('.').filter(|_| is_named_with_table) {
        Some((table, name)) => (table.to_owned(), name),
        None => (Object::sessions().name, &object.name),
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot;
    use super::*;

    fn situation(is_empty: bool) -> Situation {
        Situation {
            owner: "postgres".into(),
            is_owner: true,
            is_known_owner: true,
            is_empty,
            api_roles: vec!["public".into(), "anon".into()],
            elsewhere: Vec::new(),
        }
    }

    fn repair(found: &Facts, is_empty: bool) -> Repair {
        Repair::between(
            &Wanted::of_this_version(),
            &snapshot(),
            found,
            &situation(is_empty),
            &Dependents::new(),
        )
        .unwrap()
    }

    #[test]
    fn every_object_of_the_snapshot_has_its_statement() {
        let (wanted, expected) = (Wanted::of_this_version(), snapshot());
        let all = repair(&Facts::new(), true);
        let text: String = all.changes().map(|change| format!("{change}:\n")).collect();
        for object in expected.keys() {
            let is_key = expected.contains_key(&Object::new(Kind::Constraint, object.name.clone()));
            let is_made_by_another = object.kind == Kind::Role || object.kind == Kind::Index && is_key;
            assert!(
                is_made_by_another || text.contains(&format!("{object}:")),
                "{object} has no statement"
            );
            if matches!(object.kind, Kind::Table | Kind::View | Kind::Function) {
                assert!(
                    wanted.text(object).contains(" or replace ") || wanted.text(object).contains("create table "),
                    "{object} has no file"
                );
            }
        }
        assert!(all.later.is_empty() && all.manual.is_empty());
    }

    #[test]
    fn nothing_is_done_to_a_schema_that_does_not_differ() {
        let mut found = snapshot();
        assert_eq!(repair(&found, false), Repair::default());
        // The team's own.
        found.insert(Object::new(Kind::Trigger, "audit"), Properties::new());
        let repair = repair(&found, false);
        assert_eq!(repair.left.len(), 1);
        assert_eq!(
            repair,
            Repair {
                left: repair.left.clone(),
                ..Repair::default()
            }
        );
    }

    #[test]
    fn beside_rows_indexes_and_constraints_come_after_the_transaction() {
        let mut found = snapshot();
        for object in [
            "constraint user_sessions_status_check",
            "constraint user_sessions_session_id_key",
            "index idx_user_sessions_status",
        ] {
            found.remove(&object.parse().unwrap());
        }
        let later = repair(&found, false).later;
        assert_eq!(later.len(), 3);
        assert_eq!(
            later[0].undo.as_deref(),
            Some("drop index if exists public.user_sessions_session_id_key_repair;")
        );
        assert_eq!(
            later[2].steps,
            [Step::Build {
                index: "idx_user_sessions_status".into(),
                sql: "create index concurrently if not exists idx_user_sessions_status ON public.user_sessions USING btree (status);".into()
            }]
        );
        assert!(repair(&found, true).later.is_empty());
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!(ident("user_sessions_pkey"), "user_sessions_pkey");
        assert_eq!(ident("Users can \"x\""), "\"Users can \"\"x\"\"\"");
    }
}
