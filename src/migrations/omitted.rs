//! The indexes that a team leaves out: their migrations are recorded and not run, those that are there are dropped, and those that
//! are wanted again are built.

use refinery::Migration;

use super::declaration::store;
use super::lists::State;
use super::{Applying, Refusal, index, lock, lock_pauses, runner};
use crate::failure::Failure;
use crate::retry::retry;
use crate::schema::{Declared, OptionalIndex, WITHOUT_INDEXES, is_same};

/// The indexes that a declaration leaves out, to be brought about.
pub(crate) struct IndexChange {
    list: Vec<String>,
    drops: Vec<OptionalIndex>,
    /// With the migration that has the statement.
    builds: Vec<(OptionalIndex, Migration)>,
}

/// The index that a migration builds, if a team may leave it out.
pub(super) fn optional(migration: &Migration) -> Option<OptionalIndex> {
    index::index_name(migration).ok()?.parse().ok()
}

/// What is to be done so that the table has the indexes that are declared, and no other of the optional ones. Those that the `pending`
/// migrations build are not a part of it. Absent where nothing is declared, or all is as declared.
pub(super) fn plan(
    declared: &Declared,
    state: &State,
    ours: &[Migration],
    pending: &[Migration],
) -> Option<IndexChange> {
    let list = declared.get(WITHOUT_INDEXES)?;
    let change = IndexChange::of(list, state, ours, pending);
    let is_stored = state
        .stored(WITHOUT_INDEXES)
        .is_some_and(|stored| is_same(stored, list));
    let is_done = is_stored && change.drops.is_empty() && change.builds.is_empty();
    (!is_done).then_some(change)
}

impl IndexChange {
    fn of(list: &[String], state: &State, ours: &[Migration], pending: &[Migration]) -> Self {
        let omitted = OptionalIndex::omitted_by(list);
        let is_there = |index: &OptionalIndex| state.indexes.contains_key(index.name());
        let is_to_build = |migration: &&Migration| {
            let index = optional(migration).filter(|index| !omitted.contains(index));
            let is_pending = || pending.iter().any(|other| other.version() == migration.version());
            index.is_some_and(|index| state.indexes.get(index.name()) != Some(&true)) && !is_pending()
        };
        let builds = ours.iter().filter(is_to_build);
        Self {
            list: list.to_vec(),
            drops: omitted.iter().copied().filter(is_there).collect(),
            builds: builds
                .filter_map(|migration| Some((optional(migration)?, migration.clone())))
                .collect(),
        }
    }

    /// What becomes of each index, in words.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let drops = self
            .drops
            .iter()
            .map(|index| format!("drops index {index} ({WITHOUT_INDEXES})"));
        let builds = self.builds.iter().map(|(index, _)| format!("builds index {index}"));
        drops.chain(builds)
    }

    /// The statements that do it, as a dry run shows them.
    pub(crate) fn sql(&self) -> String {
        let drops = self.drops.iter().map(|index| index::drop_statement(index.name()));
        let builds = self.builds.iter().map(|(_, migration)| index::statement(migration));
        let store = [store(WITHOUT_INDEXES, &self.list)];
        drops.chain(builds).chain(store).map(|sql| sql + ";\n").collect()
    }

    /// Does it, with what another migrate has built or left out since the plan was made. Each index stands alone, so a crash may come
    /// between any two; the declaration is stored last.
    pub(super) async fn apply(&self, applying: Applying<'_>) -> Result<(), Failure> {
        let state = State::read(applying.database).await?;
        let now = Self::of(&self.list, &state, applying.ours, &[]);
        for index in &now.drops {
            index::drop(applying, index.name()).await?;
            (applying.note)(&format!("dropped index {index}"));
        }
        for (index, migration) in &now.builds {
            index::build_again(applying, migration).await?;
            (applying.note)(&format!("built index {index}"));
        }
        let failed = format!("can't apply {WITHOUT_INDEXES}");
        lock(applying.database, applying.limits).await?;
        let sql = format!("{}; commit", store(WITHOUT_INDEXES, &self.list));
        let Err(error) = applying.database.run(&sql).await else {
            return Ok(());
        };
        let _ = applying.database.run("rollback").await;
        Err(error.explain(&failed))
    }
}

/// Records the migration of an index that is left out, with the declaration that says so. False: another process was faster.
pub(super) async fn record(applying: Applying<'_>, migration: &Migration, list: &[String]) -> Result<bool, Failure> {
    let Applying { database, limits, .. } = applying;
    let attempt = async |_| {
        lock(database, limits).await?;
        let failed = format!("can't record migration {migration}");
        let recorded = match runner::record(database, applying.ours, migration).await {
            Ok(recorded) => recorded,
            Err(error) => {
                let _ = database.run("rollback").await;
                // Another process built the index, and has recorded that.
                return Err(match index::is_race(&error) {
                    true => Refusal::Contended,
                    false => super::error::explain(database, migration, &error).await.into(),
                });
            }
        };
        let sql = format!("{}; commit", store(WITHOUT_INDEXES, list));
        let stored = database.run(&sql).await;
        stored.map_err(|error| error.explain(&failed))?;
        Ok(recorded)
    };
    retry(lock_pauses(), Refusal::is_contended, attempt)
        .await
        .map_err(|refusal| refusal.or(|| Failure::new(format!("can't record migration {migration}"))))
}
