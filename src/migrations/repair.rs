//! `sessctl migrate --repair`: puts back what drifted, and the rows of the history that were lost. It runs no migration.

use refinery::Migration;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::history::History;
use super::preflight::{DEPENDENTS_SQL, by_object, dependents_of, refuse_unfit};
use super::replaced::Declarations;
use super::runner::{STATEMENT_TIMEOUT, history_table};
use super::{LOCK_ATTEMPTS, LockLimits, Note, Refusal, after, all, index, known, lock, lock_pauses};
use crate::database::{Database, QueryError};
use crate::failure::Failure;
use crate::retry::retry;
use crate::schema::repair::{Later, Repair, SITUATION_SQL, Situation, Step, Wanted};
use crate::schema::{Declared, Facts, Found};

/// What each query says where it fails.
const FAILED: &str = "can't look at the schema";

/// What is put back, and how.
pub(crate) struct RepairPlan {
    /// The version of the schema.
    pub version: i32,
    pub repair: Repair,
    /// The migrations whose rows of the history are lost or edited.
    pub unrecorded: Vec<Migration>,
    wanted: Wanted,
}

impl RepairPlan {
    /// Whether migrations are to be applied first, since the schema is not this version's.
    ///
    /// # Errors
    /// The server's.
    pub async fn is_behind(database: &Database) -> Result<bool, Failure> {
        let history = History::read(database).await?;
        Ok(history.is_behind(&all()) && !is_without_table(database, &history).await)
    }

    /// Looks, and changes nothing.
    ///
    /// `declared`: the team's lists, for a table without their CHECKs.
    ///
    /// # Errors
    /// The server's, or a database that can't be repaired.
    pub async fn read(database: &Database, declared: &Declared) -> Result<Self, Failure> {
        Self::of(Wanted::of_this_version().declaring(declared), all(), database).await
    }

    /// [`Self::read`] with another schema than that of this binary.
    async fn of(wanted: Wanted, ours: Vec<Migration>, database: &Database) -> Result<Self, Failure> {
        let versions = known::versions();
        let wanted = wanted.without(Declarations::of(&ours).all_drops());
        let wanted = wanted.after(versions.iter().map(|(_, facts)| facts));
        let history = History::read(database).await?;
        let newest = ours.last().map_or(0, Migration::version);
        if history.is_behind(&ours) && !is_without_table(database, &history).await {
            return Err(
                Failure::new("migrations are pending").hint("run sessctl migrate, then sessctl migrate --repair")
            );
        }
        let unrecorded = history.damaged(&ours, newest)?;
        let found = Found::read(database).await?;
        let situation: Situation = database.ask(SITUATION_SQL, &[], FAILED).await?;
        situation.check(found.facts())?;
        refuse_unfit(database, &wanted.facts(&found), found.facts()).await?;
        let dependents = dependents_of(database, found.facts()).await?;
        Ok(Self {
            version: newest.max(history.version()),
            repair: Repair::of(&wanted, &found, &situation, &dependents)?,
            unrecorded,
            wanted,
        })
    }

    /// Every change, a line each.
    pub fn changes(&self) -> Vec<String> {
        let rows = self.unrecorded.iter();
        let rows = rows.map(|m| format!("records migration V{} {} as applied", m.version(), m.name()));
        self.repair.changes().map(ToOwned::to_owned).chain(rows).collect()
    }

    /// Does it.
    ///
    /// # Errors
    /// The server's. The transaction of the catalog changes is kept as a whole or not at all.
    pub async fn apply(&self, database: &Database, limits: LockLimits, note: Note<'_>) -> Result<(), Failure> {
        let applying = Repairing { database, limits, note };
        if !self.repair.statements.is_empty() {
            applying
                .attempt("the schema", async || self.change(database).await)
                .await?;
        }
        // One that can't be done does not stop the others.
        let mut failed = None;
        for later in &self.repair.later {
            if let Err(failure) = applying.later(later).await {
                failed.get_or_insert(failure);
            }
        }
        if let Some(failure) = failed {
            return Err(failure);
        }
        if let Some(first) = self.repair.manual.first() {
            let rest: Vec<&str> = self.repair.manual.iter().map(|statement| &*statement.change).collect();
            return Err(
                Failure::new(format!("this is left to do: {}", rest.join("; "))).hint(format!(
                    "at a quiet time run: {} Then run sessctl migrate --repair",
                    first.sql
                )),
            );
        }
        let found = Found::read(database).await?;
        let situation: Situation = database.ask(SITUATION_SQL, &[], FAILED).await?;
        let rest = Repair::of(
            &self.wanted,
            &found,
            &situation,
            &dependents_of(database, found.facts()).await?,
        )?;
        if let Some(change) = rest.changes().next() {
            return Err(
                Failure::new(format!("the schema still differs: sessctl migrate --repair {change}"))
                    .hint("run it again; if that does not help, sessctl verify shows what differs"),
            );
        }
        record(database, limits, note, &self.unrecorded).await
    }

    /// The catalog changes, in the transaction that is open.
    async fn change(&self, database: &Database) -> Result<(), Problem> {
        let found = Found::read_within(database).await?;
        let situation: Situation = database.json_within(SITUATION_SQL, &[]).await?;
        // What uses what was looked at before, and the server refuses to drop what is used.
        let names: Vec<String> = found.facts().keys().map(ToString::to_string).collect();
        let parameters = [(&names as _, Type::TEXT_ARRAY)];
        let dependents = by_object(database.json_within(DEPENDENTS_SQL, &parameters).await?);
        let repair = Repair::of(&self.wanted, &found, &situation, &dependents).map_err(Problem::Final)?;
        if repair.statements != self.repair.statements {
            if repair.statements.is_empty() {
                return Ok(());
            }
            return Err(Problem::Final(
                Failure::new("the schema changed in the meantime")
                    .hint("run sessctl migrate --repair again; nothing was changed"),
            ));
        }
        let roles = after::maintenance_roles(database).await?;
        // A function may name what a later statement makes.
        database.run("set local check_function_bodies = off").await?;
        for statement in &repair.statements {
            let run = database.run_within(STATEMENT_TIMEOUT, &statement.sql).await;
            run.map_err(|error| Problem::Statement(statement.change.clone(), error))?;
        }
        after::renew_rights(database, &roles).await?;
        Ok(())
    }
}

/// Whether the table that the first migration made is gone: what is pending can't be applied without it, and there are no rows that it
/// would have to change. All that this version makes is put back then.
async fn is_without_table(database: &Database, history: &History) -> bool {
    history.has_first() && database.require_sessions().await.is_err()
}

/// The statements that record migrations whose work is there, the history's table included.
pub(crate) fn record_sql(migrations: &[Migration]) -> String {
    let versions: Vec<String> = migrations.iter().map(|m| m.version().to_string()).collect();
    format!(
        "{}revoke all on sessctl.schema_history from public, anon, authenticated, service_role;\n\
         delete from sessctl.schema_history where version in ({});\n{}",
        history_table(),
        versions.join(", "),
        super::script::record(migrations)
    )
}

/// Writes the history's rows of migrations whose work is there.
pub(super) async fn record(
    database: &Database,
    limits: LockLimits,
    note: Note<'_>,
    migrations: &[Migration],
) -> Result<(), Failure> {
    if migrations.is_empty() {
        return Ok(());
    }
    let sql = record_sql(migrations);
    let applying = Repairing { database, limits, note };
    applying
        .attempt("the history of migrations", async || Ok(database.run(&sql).await?))
        .await
}

/// Why a change did not succeed.
enum Problem {
    /// The change, and the server's error.
    Statement(String, QueryError),
    Final(Failure),
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        Self::Statement("looks at the schema".into(), error)
    }
}

/// What a change is made with.
#[derive(Clone, Copy)]
struct Repairing<'a> {
    database: &'a Database,
    limits: LockLimits,
    note: Note<'a>,
}

impl Repairing<'_> {
    /// Does `work` in a transaction under the lock of migrate, again where a table is in use.
    async fn attempt(self, what: &str, work: impl AsyncFn() -> Result<(), Problem>) -> Result<(), Failure> {
        let Self { database, limits, note } = self;
        let attempt = async |number| {
            lock(database, limits).await?;
            let done = match work().await {
                Ok(()) => database.run("commit").await.map_err(Problem::from),
                Err(problem) => Err(problem),
            };
            let Err(problem) = done else {
                return Ok(());
            };
            // The transaction is over either way; a lost connection says so with the next statement.
            let _ = database.run("rollback").await;
            match problem {
                Problem::Statement(_, error) if is_contended(&error) && number < LOCK_ATTEMPTS => {
                    note(&format!(
                        "{what}: a table is in use, trying again ({number} of {LOCK_ATTEMPTS})"
                    ));
                    Err(Refusal::Contended)
                }
                Problem::Statement(change, error) => Err(explain(database, &change, error).await.into()),
                Problem::Final(failure) => Err(failure.into()),
            }
        };
        retry(lock_pauses(), Refusal::is_contended, attempt)
            .await
            .map_err(|refusal| refusal.or(|| Failure::new("a table was in use for too long")))
    }

    /// A change in steps of its own. Where one fails, what was prepared for it goes.
    async fn later(self, later: &Later) -> Result<(), Failure> {
        for step in &later.steps {
            if let Err(failure) = self.step(&later.change, step).await {
                if let Some(undo) = &later.undo {
                    let _ = self.transaction(&later.change, undo).await;
                }
                return Err(failure);
            }
        }
        (self.note)(&format!("done: {}", later.change));
        Ok(())
    }

    async fn step(self, change: &str, step: &Step) -> Result<(), Failure> {
        let Self { database, limits, note } = self;
        match step {
            Step::Transaction(sql) => self.transaction(change, sql).await,
            Step::Alone(sql) => match database.run_within(STATEMENT_TIMEOUT, sql).await {
                Ok(()) => Ok(()),
                Err(error) => Err(explain(database, change, error).await),
            },
            Step::Build { index, sql } => {
                let run = async || match database.run_within(STATEMENT_TIMEOUT, sql).await {
                    Ok(()) => Ok(true),
                    // The index is unique where rows can be in its way.
                    Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                        Err(explain(database, change, error).await.into())
                    }
                    Err(error) if index::RACES.iter().any(|code| error.code() == Some(code)) => Err(Refusal::Contended),
                    Err(error) => Err(explain(database, change, error).await.into()),
                };
                index::concurrently(database, limits, note, change, index, run)
                    .await
                    .map(|_| ())
            }
        }
    }

    async fn transaction(self, change: &str, sql: &str) -> Result<(), Failure> {
        let work = async || {
            let run = self.database.run_within(STATEMENT_TIMEOUT, sql).await;
            run.map_err(|error| Problem::Statement(change.to_owned(), error))
        };
        self.attempt(change, work).await
    }
}

fn is_contended(error: &QueryError) -> bool {
    let codes = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED];
    codes.iter().any(|code| error.code() == Some(code))
}

/// What the server said of a change, and what to do.
async fn explain(database: &Database, change: &str, error: QueryError) -> Failure {
    let about_rows = [
        SqlState::CHECK_VIOLATION,
        SqlState::NOT_NULL_VIOLATION,
        SqlState::UNIQUE_VIOLATION,
        SqlState::FOREIGN_KEY_VIOLATION,
    ];
    let does_not_fit = about_rows.iter().any(|code| error.code() == Some(code));
    let is_used = error.code() == Some(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST);
    let failure = database
        .explain(error, &format!("the repair failed where it {change}"))
        .await;
    if does_not_fit {
        return failure
            .hint("rows do not fit: change them, then run sessctl migrate --repair again; the old rule is kept");
    }
    if is_used {
        return failure.hint(
            "objects of yours depend on it: drop those named, run sessctl migrate --repair, and create them again; nothing was changed",
        );
    }
    failure
}

/// Repairs a schema that is this binary's and one migration more: a test shows with it that nothing here is about one version.
///
/// # Errors
/// As [`RepairPlan::read`] and [`RepairPlan::apply`].
#[doc(hidden)]
pub async fn repair_with(
    database: &Database,
    later: Migration,
    facts: Facts,
    texts: Vec<(String, String)>,
) -> Result<Vec<String>, Failure> {
    let wanted = Wanted::of_this_version().with(facts, texts);
    let ours = all().into_iter().chain([later]).collect();
    let plan = RepairPlan::of(wanted, ours, database).await?;
    plan.apply(database, LockLimits::OF_TESTS, &|_| {}).await?;
    Ok(plan.changes())
}
