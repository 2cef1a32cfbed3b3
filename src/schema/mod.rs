//! What the schema should be (a snapshot, made from the migrations), what it is (one query), and the difference.

mod allowed;
mod clients;
mod difference;
mod indexes;
mod lists;
mod object;
pub(crate) mod repair;
mod sizes;
mod snapshot;
mod verdict;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::database::{Database, QueryError};
use crate::failure::Failure;
use crate::migrations::Applied;

pub(crate) use allowed::Allowed;
pub(crate) use clients::{Origins, words};
pub(crate) use difference::{API_ROLES, Class, Difference, compare};
pub(crate) use indexes::{OptionalIndex, WITHOUT_INDEXES};
pub use lists::Declared;
pub(crate) use lists::{DECLARED, LISTS, ListSpec, expect, is_same, keep, without};
pub(crate) use object::Grant;
pub use object::{Kind, Object};
pub use repair::Wanted;
pub(crate) use sizes::Sizes;
pub use snapshot::{script, snapshot, write as write_snapshot, write_script};
pub(crate) use verdict::{ADOPT, Pending, Team, UNRECORDED, Verdict};

const FACTS_SQL: &str = include_str!("facts.sql");
const SETTINGS_SQL: &str = include_str!("facts_settings.sql");

/// Maximum number of facts. A schema of ours has some hundred, and whatever is too many becomes a difference each.
const MAX_FACTS: usize = 20_000;

/// Properties by object: `table public.user_sessions` → `persistence` → `permanent`.
pub type Facts = BTreeMap<Object, Properties>;

/// An object's properties by name.
pub type Properties = BTreeMap<String, String>;

/// A database's facts and its history, read at one moment.
#[derive(Debug, Deserialize)]
pub struct Found {
    #[serde(deserialize_with = "from_rows")]
    facts: Facts,
    history: Option<Vec<Applied>>,
    declared: Option<Declared>,
}

impl Found {
    /// Reads both in a read-only transaction.
    ///
    /// # Errors
    /// The server's.
    pub async fn read(database: &Database) -> Result<Self, Failure> {
        let opening = format!("set transaction read only; {SETTINGS_SQL}");
        // All sent at once: one round trip.
        let (found, ended) = tokio::join!(database.json_after(&opening, FACTS_SQL, &[]), database.run("rollback"));
        match (found, ended) {
            (Ok(found), Ok(())) => Ok(found),
            (Err(error), _) => Err(database.explain_history(error, "can't look at the schema").await),
            (_, Err(error)) => Err(error.explain("can't look at the schema")),
        }
    }

    /// Reads both in the transaction that is open. It has the settings of the facts from then on.
    ///
    /// # Errors
    /// The server's.
    pub(crate) async fn read_within(database: &Database) -> Result<Self, QueryError> {
        database.run(SETTINGS_SQL).await?;
        database.json_within(FACTS_SQL, &[]).await
    }

    /// What the catalogs say.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What migrate applied of a team's declaration. Of a role that can't read it `wanted` counts for the indexes.
    pub(crate) fn declared(&self, wanted: &Declared) -> Declared {
        let indexes = || wanted.get_key_value(WITHOUT_INDEXES);
        let unread = || indexes().into_iter().map(|(key, list)| (key.clone(), list.clone()));
        self.declared.clone().unwrap_or_else(|| unread().collect())
    }

    /// The migrations applied, absent where there is no history.
    pub fn history(&self) -> Option<&[Applied]> {
        self.history.as_deref()
    }
}

fn from_rows<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Facts, D::Error> {
    let rows = Vec::<(Object, BTreeMap<String, Option<String>>)>::deserialize(deserializer)?;
    let count: usize = rows.iter().map(|(_, properties)| 1 + properties.len()).sum();
    if count > MAX_FACTS {
        return Err(serde::de::Error::custom("more facts than a schema has"));
    }
    let mut facts = Facts::new();
    for (object, properties) in rows {
        let present = properties.into_iter().filter_map(|(name, value)| Some((name, value?)));
        facts.entry(object).or_default().extend(present);
    }
    Ok(facts)
}
