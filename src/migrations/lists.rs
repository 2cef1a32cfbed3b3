//! Gives the CHECKs on platform and end_reason the lists that the team declares, and keeps the declaration in the database.
//!
//! A CHECK that is there is replaced in four steps, so that writers wait for none of them: the new one is added for new rows,
//! then validated, then it takes the old one's name. Each transaction checks again how far this is, so that a crash, or another
//! migrate, may come between any two.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tokio_postgres::error::SqlState;

use super::declaration::{array, store};
use super::misfits::misfits;
use super::{Applying, LOCK_ATTEMPTS, Refusal, lock, lock_pauses};
use crate::database::Database;
use crate::failure::Failure;
use crate::retry::retry;
use crate::schema::{Declared, LISTS, ListSpec, is_same, without};

const STATE_SQL: &str = include_str!("lists.sql");

/// More transactions than a list needs: another migrate applies another list.
const MAX_STEPS: u32 = 20;

/// How long validating may take, which reads the whole table.
const VALIDATE_TIMEOUT: Duration = Duration::from_hours(24);

/// The table as far as a declaration is about it.
#[derive(Deserialize)]
pub(super) struct State {
    exists: bool,
    constraints: BTreeMap<String, Constraint>,
    /// Whether each is valid.
    pub(super) indexes: BTreeMap<String, bool>,
    pub(super) declared: Option<Declared>,
}

impl State {
    pub(super) async fn read(database: &Database) -> Result<Self, Failure> {
        database
            .ask(STATE_SQL, &[], "can't look at the table's CHECKs and indexes")
            .await
    }

    /// What is stored under a key.
    pub(super) fn stored(&self, key: &str) -> Option<&Vec<String>> {
        self.declared.as_ref().and_then(|declared| declared.get(key))
    }
}

#[derive(Deserialize)]
struct Constraint {
    definition: String,
    validated: bool,
    /// Where it is about one column alone.
    column: Option<String>,
}

/// A list to be applied.
pub(crate) struct ListChange {
    spec: &'static ListSpec,
    list: Vec<String>,
    /// Values that the CHECK takes and the list lacks.
    removed: Vec<String>,
    /// What becomes of the CHECK, in words, and whether clients may depend on it. Absent where it is as declared already, or the first
    /// migration makes it.
    line: Option<(String, bool)>,
}

impl ListChange {
    pub(crate) fn key(&self) -> &'static str {
        self.spec.key
    }

    /// What becomes of the CHECK, in words, and whether clients may depend on it.
    pub(crate) fn line(&self) -> Option<(String, bool)> {
        self.line.clone()
    }

    /// The statements that do it, as a dry run shows them.
    pub(crate) fn sql(&self) -> String {
        let steps = [Step::Add, Step::Validate(self.new_name()), Step::Swap];
        let steps = steps.iter().filter(|_| self.line.is_some());
        let statements = steps.map(|step| match step {
            Step::Swap => format!("begin;\n{};\ncommit", self.statement(step)),
            _ => self.statement(step),
        });
        statements.chain([self.store()]).map(|sql| sql + ";\n").collect()
    }

    fn new_name(&self) -> String {
        format!("{}_new", self.spec.constraint)
    }

    fn statement(&self, step: &Step) -> String {
        let (name, new) = (self.spec.constraint, self.new_name());
        let table = "alter table public.user_sessions";
        match step {
            Step::Add => format!("{table} add constraint {new} check ({}) not valid", self.condition()),
            Step::Validate(name) => format!("{table} validate constraint {name}"),
            Step::Swap => {
                format!("{table} drop constraint if exists {name};\n{table} rename constraint {new} to {name}")
            }
            Step::Drop => format!("{table} drop constraint {new}"),
            Step::Done => self.store(),
        }
    }

    fn condition(&self) -> String {
        format!("{} = any ({})", self.spec.column, array(&self.list))
    }

    fn store(&self) -> String {
        store(self.spec.key, &self.list)
    }

    /// The next step from here.
    fn next(&self, state: &State) -> Result<Step, Failure> {
        let is_wanted = |check: &Constraint| {
            let list = self.spec.parse(&check.definition);
            list.is_some_and(|list| is_same(&list, &self.list))
        };
        let current = state.constraints.get(self.spec.constraint);
        let new = state.constraints.get(&self.new_name());
        // What another migrate has added since the plan was made is not taken away.
        let listed = current.and_then(|current| self.spec.parse(&current.definition));
        let removed = listed.map_or(Vec::new(), |listed| without(&listed, &self.list));
        let unasked = without(&removed, &self.removed);
        Ok(match (current, new) {
            (_, None) if !unasked.is_empty() => return Err(narrows(self.spec, &unasked)),
            (_, Some(_)) if !unasked.is_empty() => Step::Drop,
            (Some(current), None) if is_wanted(current) && current.validated => Step::Done,
            (Some(current), None) if is_wanted(current) => Step::Validate(self.spec.constraint.into()),
            (Some(current), Some(_)) if is_wanted(current) => Step::Drop,
            (Some(current), _) if self.spec.parse(&current.definition).is_none() => {
                return Err(no_list(self.spec, current));
            }
            (_, Some(new)) if !is_wanted(new) => Step::Drop,
            (_, Some(new)) if new.validated => Step::Swap,
            (_, Some(_)) => Step::Validate(self.new_name()),
            (_, None) => Step::Add,
        })
    }

    /// Does it, a transaction a step.
    pub(super) async fn apply(&self, applying: Applying<'_>) -> Result<(), Failure> {
        for _ in 0..MAX_STEPS {
            let attempt = async |number| self.step(applying, number).await;
            let stepped = retry(lock_pauses(), Refusal::is_contended, attempt).await;
            let in_use = || {
                Failure::new(format!(
                    "can't apply {}: the table was in use for too long",
                    self.spec.key
                ))
            };
            if let Step::Done = stepped.map_err(|refusal| refusal.or(in_use))? {
                return Ok(());
            }
        }
        Err(Failure::new(format!(
            "can't apply {}: another migrate applies another list",
            self.spec.key
        ))
        .hint("have both declare the same, then run sessctl migrate again"))
    }

    async fn step(&self, applying: Applying<'_>, number: u32) -> Result<Step, Refusal> {
        let Applying {
            database, limits, note, ..
        } = applying;
        let what = format!("can't apply {}", self.spec.key);
        lock(database, limits).await?;
        let state = database.json_within(STATE_SQL, &[]).await;
        let state: State = state.map_err(|error| error.explain(&what))?;
        let step = match self.next(&state) {
            Ok(step) => step,
            Err(failure) => {
                let _ = database.run("rollback").await;
                return Err(failure.into());
            }
        };
        let sql = format!("{}; commit", self.statement(&step));
        let Err(error) = database.run_within(VALIDATE_TIMEOUT, &sql).await else {
            return Ok(step);
        };
        let _ = database.run("rollback").await;
        match error.code() {
            Some(code) if [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED].contains(code) => {
                if number == LOCK_ATTEMPTS {
                    return Err(database.explain(error, &what).await.into());
                }
                note(&format!(
                    "{}: the table is in use, trying again ({number} of {LOCK_ATTEMPTS})",
                    self.spec.key
                ));
                Err(Refusal::Contended)
            }
            // A row came since the plan was made: the new CHECK must not stay.
            Some(code) if *code == SqlState::CHECK_VIOLATION => {
                let drop = format!(
                    "alter table public.user_sessions drop constraint if exists {}",
                    self.new_name()
                );
                let _ = database.run(&drop).await;
                let misfits = misfits(database, self.spec, &self.list).await?;
                Err(misfits.unwrap_or_else(|| error.explain(&what)).into())
            }
            _ => Err(database.explain(error, &what).await.into()),
        }
    }
}

enum Step {
    Add,
    Validate(String),
    Swap,
    /// A new one that is not wanted any more.
    Drop,
    /// Nothing but to store the declaration.
    Done,
}

/// Statements that give a table without rows the declared lists.
pub(super) fn on_empty_table(declared: &Declared) -> String {
    let statements = |(spec, list): (&'static ListSpec, &Vec<String>)| {
        let list = list.clone();
        let change = ListChange {
            spec,
            list,
            removed: Vec::new(),
            line: None,
        };
        format!(
            "alter table public.user_sessions\n  drop constraint if exists {name}, add constraint {name} check ({});\n{};\n",
            change.condition(),
            change.store(),
            name = spec.constraint
        )
    };
    let declared = LISTS.iter().filter_map(|spec| Some((spec, declared.get(spec.key)?)));
    declared.map(statements).collect()
}

/// The CHECKs that the first migration makes on a table that has none on the column: in words, and that clients may depend on it.
pub(super) fn made<'a>(
    declared: &'a Declared,
    state: &'a State,
    has_first: bool,
) -> impl Iterator<Item = (String, bool)> + 'a {
    let is_made = move |spec: &&ListSpec| !has_first && state.exists && is_free(spec, state);
    LISTS.iter().filter(is_made).map(|spec| {
        let list = declared.get(spec.key).cloned().unwrap_or_else(|| spec.of_the_script());
        (
            format!("adds constraint {}: {}", spec.constraint, list.join(", ")),
            true,
        )
    })
}

/// Whether no CHECK is about the column.
fn is_free(spec: &ListSpec, state: &State) -> bool {
    let is_check =
        |check: &Constraint| check.column.as_deref() == Some(spec.column) && check.definition.starts_with("CHECK");
    !state.constraints.contains_key(spec.constraint) && !state.constraints.values().any(is_check)
}

/// What is to be done so that the lists are as declared. `has_first`: the migration that makes the table is applied.
///
/// # Errors
/// A list that can't be applied: rows have another value, or the CHECK that is there is no list.
pub(super) async fn plan(
    database: &Database,
    declared: &Declared,
    state: &State,
    has_first: bool,
) -> Result<Vec<ListChange>, Failure> {
    let mut changes = Vec::new();
    for (spec, list) in LISTS.iter().filter_map(|spec| Some((spec, declared.get(spec.key)?))) {
        let change = change(database, spec, list, state, has_first).await?;
        if change.line.is_some() || state.stored(spec.key).is_none_or(|stored| !is_same(stored, list)) {
            changes.push(change);
        }
    }
    Ok(changes)
}

/// What becomes of one CHECK.
async fn change(
    database: &Database,
    spec: &'static ListSpec,
    list: &[String],
    state: &State,
    has_first: bool,
) -> Result<ListChange, Failure> {
    let mut change = ListChange {
        spec,
        list: list.to_vec(),
        removed: Vec::new(),
        line: None,
    };
    if !state.exists {
        return Ok(change);
    }
    let is_list = |constraint: &&Constraint| {
        constraint.column.as_deref() == Some(spec.column) && spec.parse(&constraint.definition).is_some()
    };
    // The first migration gives a list of another name ours.
    let renamed = state.constraints.values().find(is_list).filter(|_| !has_first);
    let Some(check) = state.constraints.get(spec.constraint).or(renamed) else {
        if let Some(refusal) = misfits(database, spec, list).await? {
            return Err(refusal);
        }
        if has_first || !is_free(spec, state) {
            let line = format!("adds constraint {}: {}", spec.constraint, list.join(", "));
            // A crash may have left it under the other name.
            let new = state.constraints.get(&change.new_name());
            let listed = new.and_then(|new| spec.parse(&new.definition));
            change.line = Some((line, !listed.is_some_and(|listed| is_same(&listed, list))));
        }
        return Ok(change);
    };
    let Some(current) = spec.parse(&check.definition) else {
        return Err(no_list(spec, check));
    };
    let (added, removed) = (without(list, &current), without(&current, list));
    if added.is_empty() && removed.is_empty() {
        if !check.validated {
            change.line = Some((format!("validates constraint {}", spec.constraint), false));
        }
        return Ok(change);
    }
    let mut words = Vec::new();
    if !added.is_empty() {
        words.push(format!("adds {}", added.join(", ")));
    }
    if !removed.is_empty() {
        words.push(format!("removes {}", removed.join(", ")));
        if let Some(refusal) = misfits(database, spec, list).await? {
            return Err(refusal);
        }
    }
    let line = format!("replaces constraint {}: {}", spec.constraint, words.join(", "));
    change.line = Some((line, !removed.is_empty()));
    change.removed = removed;
    Ok(change)
}

/// The refusal of a list that takes values away, which nobody was asked about.
fn narrows(spec: &ListSpec, removed: &[String]) -> Failure {
    Failure::new(format!(
        "the declared {} lack {}, which the database takes: clients that write it would fail",
        spec.key,
        removed.join(", ")
    ))
    .hint("another migrate has just added it: declare it too, or run sessctl migrate again to remove it; the list was not changed")
}

/// The refusal of a CHECK that is there and is no list.
fn no_list(spec: &ListSpec, check: &Constraint) -> Failure {
    Failure::new(format!(
        "constraint {} is no list of texts, and {} are declared: {}",
        spec.constraint, spec.key, check.definition
    ))
    .hint(format!(
        "if the list is to take its place, run: alter table public.user_sessions drop constraint {}; then sessctl migrate again",
        spec.constraint
    ))
}
