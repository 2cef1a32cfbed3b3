//! The embedded migrations, and refinery's runner over our own connection.
//!
//! refinery reads the history, compares checksums, and runs a migration with its history row. What it lacks is here:
//! a lock that holds behind a transaction pooler, time limits on locks, concurrent index builds, and errors that tell.

mod after;
mod applying;
mod declaration;
mod error;
mod history;
mod index;
mod known;
mod lists;
mod misfits;
mod omitted;
mod preflight;
mod repair;
mod replaced;
mod runner;
mod script;

use std::time::{Duration, Instant};

use refinery::Migration;

use crate::database::Database;
use crate::failure::Failure;
use crate::retry::Backoff;
use crate::schema::{Declared, Facts, Object, OptionalIndex, Origins, WITHOUT_INDEXES};
use applying::{Applying, Refusal, lock, lock_pauses};
use preflight::{Changes, preflight};

pub(crate) use history::{Applied, History};
use lists::ListChange;
use omitted::IndexChange;
#[doc(hidden)]
pub use repair::repair_with;
pub(crate) use repair::{RepairPlan, record_sql};
pub(crate) use runner::history_table;
pub(crate) use script::{declares, export};

#[allow(missing_docs, clippy::unwrap_used)]
mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The oldest server this works on: security_invoker views came with it.
const OLDEST_SERVER: i32 = 150_000;

/// The first line of a migration that runs outside a transaction; it builds one index.
const NO_TRANSACTION: &str = "-- sessctl: no-transaction";

/// How often a migration that can't get its locks in time is tried, and the pauses between.
const LOCK_ATTEMPTS: u32 = 8;
const LOCK_PAUSES: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(4));

/// The pauses between two looks at whether another process has done its part.
const POLL: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(400));

/// The migrations of this binary, oldest first.
pub fn all() -> Vec<Migration> {
    let mut migrations = embedded::migrations::runner().get_migrations().clone();
    migrations.sort();
    migrations
}

/// Takes a line about progress.
pub(crate) type Note<'a> = &'a dyn Fn(&str);

/// What is to be done to a database, and what that would do to what is there.
pub(crate) struct Plan {
    /// The version it has.
    pub version: i32,
    /// Migrations whose work is there though the history has no row at all, as in a copy of the schema without rows: they are
    /// recorded, and not run.
    pub unrecorded: Vec<Migration>,
    /// The migrations to apply, oldest first.
    pub pending: Vec<Migration>,
    /// What it drops, replaces and revokes of what is there, a line each.
    pub changes: Vec<String>,
    /// The same with rights of one kind in one line.
    pub listed: Vec<String>,
    /// Those that clients may depend on: somebody must want them.
    pub risks: Vec<String>,
    /// Policies of others, which stay.
    pub leaves: Vec<Object>,
    /// Lists that the team declares and that are not in force, applied after the migrations.
    pub lists: Vec<ListChange>,
    /// The same of the indexes that it leaves out.
    pub indexes: Option<IndexChange>,
    /// All migrations, those applied too.
    ours: Vec<Migration>,
    declared: Declared,
}

/// What migrate is asked to do.
#[derive(Default)]
pub(crate) struct Asked {
    /// The last version to apply.
    pub target: Option<i32>,
    /// The team's lists, and the indexes that it leaves out.
    pub declared: Declared,
}

impl Plan {
    /// Looks, and changes nothing.
    ///
    /// # Errors
    /// The server's, or a database that can't be migrated.
    pub async fn read(database: &Database, asked: Asked) -> Result<Self, Failure> {
        Self::of(all(), &known::versions(), database, asked).await
    }

    /// [`Self::read`] with other migrations than those of this binary.
    async fn of(
        ours: Vec<Migration>,
        versions: &[(i32, Facts)],
        database: &Database,
        asked: Asked,
    ) -> Result<Self, Failure> {
        let history = History::read(database).await?;
        if history.server_version < OLDEST_SERVER {
            return Err(Failure::new(format!(
                "the server is PostgreSQL {}, and sessctl needs 15 or newer",
                history.server_version / 10_000
            ))
            .hint("upgrade the project's database in the dashboard"));
        }
        let mut pending = history.pending(&ours)?;
        // The others would fail without the table.
        if history.has_first() {
            database.require_sessions().await?;
        }
        known::refuse_lost_rows(&history, &pending)?;
        let known = match history.version() {
            0 => known::version(database, &ours, versions, &asked.declared).await?,
            _ => 0,
        };
        let unrecorded = pending
            .extract_if(.., |migration| migration.version() <= known)
            .collect();
        if let Some(target) = asked.target {
            let newest = ours.last().map_or(0, Migration::version);
            if target > newest {
                return Err(Failure::usage(format!(
                    "there is no version {target}: this sessctl knows up to {newest}"
                )));
            }
            pending.retain(|migration| migration.version() <= target);
        }
        let mut declared = asked.declared;
        let mut changes = Changes::default();
        let (mut lists, mut indexes) = (Vec::new(), None);
        if !pending.is_empty() || !declared.is_empty() {
            let state = lists::State::read(database).await?;
            indexes = omitted::plan(&declared, &state, &ours, &pending);
            // What was declared before stands where nothing else is.
            if let Some(stored) = state.stored(WITHOUT_INDEXES) {
                declared.entry(WITHOUT_INDEXES.into()).or_insert_with(|| stored.clone());
            }
            if !pending.is_empty() {
                let origins = Origins::of(versions.iter().map(|(_, facts)| facts)).in_an_adoption();
                changes = preflight(database, &pending, &declared, &origins).await?;
            }
            let has_first = known > 0 || history.applied().iter().any(|applied| applied.version == 1);
            changes.add(lists::made(&declared, &state, has_first));
            lists = lists::plan(database, &declared, &state, has_first).await?;
        }
        // What is declared is kept in a table that an earlier version lacks.
        let newest = ours.last().map_or(0, Migration::version);
        if pending.last().map_or(history.version().max(known), Migration::version) < newest {
            lists.clear();
            indexes = None;
        }
        changes.add(lists.iter().filter_map(ListChange::line));
        changes.add(indexes.iter().flat_map(IndexChange::lines).map(|line| (line, false)));
        let Changes {
            changes,
            listed,
            risks,
            leaves,
        } = changes;
        Ok(Self {
            version: history.version().max(known),
            unrecorded,
            pending,
            changes,
            listed,
            risks,
            leaves,
            lists,
            indexes,
            ours,
            declared,
        })
    }

    /// Whether a migration builds an index that the team leaves out: it is recorded and not run.
    pub fn is_omitted(&self, migration: &Migration) -> bool {
        let index = omitted::optional(migration);
        index.is_some_and(|index| OptionalIndex::omitted(&self.declared).contains(&index))
    }

    /// A migration with its history row, in the transaction that it needs.
    pub fn script(&self, migration: &Migration, lock_timeout: Duration) -> String {
        script::script(migration, self.is_omitted(migration), lock_timeout)
    }

    fn newest(&self) -> i32 {
        self.ours.last().map_or(0, Migration::version)
    }

    /// The keys of what is declared and not in force.
    pub fn declared(&self) -> Vec<&'static str> {
        let keys = self.lists.iter().map(ListChange::key);
        keys.chain(self.indexes.is_some().then_some(WITHOUT_INDEXES)).collect()
    }

    /// Statements that bring it about, after the migrations.
    pub fn declared_sql(&self) -> String {
        let lists = self.lists.iter().map(ListChange::sql);
        lists.chain(self.indexes.as_ref().map(IndexChange::sql)).collect()
    }

    /// Statements that tell a migration the lists. `set`: how a setting is made.
    pub fn settings(&self, set: &str) -> String {
        declaration::settings(&self.declared, set)
    }

    /// The version that the database has once this is done.
    pub fn version_after(&self) -> i32 {
        self.pending.last().map_or(self.version, Migration::version)
    }

    /// Does it, and gives back the migrations that this process applied, not those that another one did meanwhile.
    ///
    /// # Errors
    /// The server's; what was applied before stays.
    pub async fn apply(
        &self,
        database: &Database,
        limits: LockLimits,
        note: Note<'_>,
    ) -> Result<Vec<&Migration>, Failure> {
        let applying = Applying {
            database,
            ours: &self.ours,
            limits,
            note,
            settings: &self.settings("set local"),
        };
        repair::record(database, limits, note, &self.unrecorded).await?;
        let mut applied = Vec::new();
        for migration in &self.pending {
            let start = Instant::now();
            let label = format!("V{} {}", migration.version(), migration.name());
            let is_omitted = self.is_omitted(migration);
            let list = self.declared.get(WITHOUT_INDEXES).filter(|_| is_omitted);
            let done = match list {
                Some(list) => omitted::record(applying, migration, list).await?,
                None => applying.apply(migration).await?,
            };
            if done && is_omitted {
                note(&format!("recorded {label}: its index is left out"));
                applied.push(migration);
            } else if done {
                note(&format!("applied {label} ({} ms)", start.elapsed().as_millis()));
                applied.push(migration);
            } else {
                note(&format!("{label} was applied by another process"));
            }
        }
        for list in &self.lists {
            list.apply(applying).await?;
            note(&format!("applied the declared {}", list.key()));
        }
        if let Some(indexes) = &self.indexes {
            indexes.apply(applying).await?;
            note(&format!("applied the declared {WITHOUT_INDEXES}"));
        }
        if !self.pending.is_empty() && self.version_after() == self.newest() {
            after::update_cron_jobs(applying).await?;
        }
        Ok(applied)
    }
}

/// Applies the migrations of this binary that a database lacks, and one more: a test shows with it that a later version can
/// change what this one made. `facts`: what that one makes, where it is to be known in a database without a history. As where nobody can
/// be asked, it changes nothing that clients may depend on.
///
/// # Errors
/// As [`Plan::read`] and [`Plan::apply`].
#[doc(hidden)]
pub async fn apply_with(database: &Database, later: Migration, facts: Option<Facts>) -> Result<Vec<i32>, Failure> {
    let mut versions = known::versions();
    versions.extend(facts.map(|facts| (later.version(), facts)));
    let ours = all().into_iter().chain([later]).collect();
    let plan = Plan::of(ours, &versions, database, Asked::default()).await?;
    if let Some(question) = question(&plan.risks) {
        return Err(Failure::new(question));
    }
    let applied = plan.apply(database, LockLimits::OF_TESTS, &|_| {}).await?;
    Ok(applied.into_iter().map(Migration::version).collect())
}

/// The text of an exported file of the release that has one migration more, for a folder whose files bring version `after`.
#[doc(hidden)]
pub fn export_with(later: Migration, after: i32) -> String {
    let ours: Vec<Migration> = all().into_iter().chain([later]).collect();
    export(&ours, after, &Declared::default(), "20300101000000")
}

/// What to ask before changes that clients may depend on are made; absent where there are none.
pub(crate) fn question(risks: &[String]) -> Option<String> {
    (!risks.is_empty()).then(|| format!("clients may depend on what this changes: {}", risks.join("; ")))
}

/// How long migrations wait for locks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockLimits {
    /// How long a statement may wait for a lock on a table.
    pub lock_timeout: Duration,
    /// How long to wait for another migrate.
    pub lock_wait: Duration,
}

impl LockLimits {
    /// Those of the functions that only tests call.
    const OF_TESTS: Self = Self {
        lock_timeout: Duration::from_secs(1),
        lock_wait: Duration::from_secs(60),
    };
}
