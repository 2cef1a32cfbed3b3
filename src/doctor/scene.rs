//! What the checks have to look at, and how they look: within a time limit, and never at the whole of a large table.

use std::cell::Cell;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::plan::{Asked, CronJob, Plan};
use super::{Answer, Finding, failed, not_migrated};
use crate::database::{Database, Parameter, QueryError, Value, bind};
use crate::failure::Failure;
use crate::maintenance::{self, cron_jobs};

/// The time limit of a query, and that of one that a sample can stand in for, in milliseconds.
const LIMIT: u32 = 1_000;
const PROBE_LIMIT: u32 = 300;
/// How long a query waits for a lock, in milliseconds: the next check may meet the same one.
const LOCK_LIMIT: u32 = 500;

/// A table of at most so many blocks (32 MiB) is read as a whole.
const SMALL: u64 = 4_096;
/// How many blocks a sample has.
const SAMPLE: u64 = 2_000;
/// No plan but one that finds rows by an index, one by one, or by bitmaps of several indexes.
const INDEXES: &str = "set local enable_seqscan = off; set local enable_bitmapscan = off";
const BITMAPS: &str = "set local enable_seqscan = off; set local enable_indexscan = off";
/// Up to so many sessions are counted by an index.
const FEW: u64 = 1_000;

/// The connection, which objects are there to be queried, and what the jobs are expected to do.
pub(super) struct Scene<'a> {
    pub(super) database: &'a Database,
    pub(super) objects: Objects,
    pub(super) plan: Plan,
    /// Why the record of runs can't be read, where it is there.
    pub(super) unread: Option<Finding>,
    blocks: Cell<Option<u64>>,
}

#[derive(Deserialize)]
pub(super) struct Objects {
    pub(super) now: DateTime<Utc>,
    pub(super) table: Option<Table>,
    /// The relkind of public.user_sessions, whatever it is.
    pub(super) kind: Option<String>,
    /// Other schemas that have a table user_sessions.
    pub(super) elsewhere: Vec<String>,
    pub(super) has_history: bool,
    /// Whether the views of schema sessctl exist, which say when a session was last seen, and which ones ended.
    pub(super) has_views: bool,
    pub(super) pg_cron: Option<PgCron>,
}

/// The table public.user_sessions.
#[derive(Deserialize)]
pub(super) struct Table {
    pub(super) is_readable: bool,
    /// Whether it has the columns that the counts read: a table that was made manually may lack one.
    pub(super) has_columns: bool,
}

#[derive(Deserialize)]
pub(super) struct PgCron {
    pub(super) version: String,
    pub(super) has_readable_jobs: bool,
}

/// Which sessions of a large table an index finds fast.
#[derive(Clone, Copy)]
pub(super) enum ByIndex {
    /// All of them.
    All,
    /// All of them, by several indexes at once.
    AllByBitmap,
    /// Some of them, by this query.
    Some(&'static str),
    None,
}

/// A number of sessions, exact unless it comes from a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) number: u64,
    pub(super) is_estimate: bool,
}

impl<'a> Scene<'a> {
    pub(super) async fn read(database: &'a Database, asked: Asked) -> Result<Self, Failure> {
        let objects: Objects = read_only(database, include_str!("scene.sql"), &[], "doctor failed").await?;
        let mut scene = Self {
            database,
            objects,
            plan: Plan {
                asked,
                ..Plan::default()
            },
            unread: None,
            blocks: Cell::new(None),
        };
        if scene
            .objects
            .pg_cron
            .as_ref()
            .is_some_and(|cron| cron.has_readable_jobs)
        {
            // The check of the schedule meets the same failure, and reports it.
            let jobs: Result<Vec<CronJob>, Failure> = scene.ask_about_jobs(include_str!("cron_jobs.sql")).await;
            scene.plan.cron_jobs = jobs.unwrap_or_default();
        }
        match maintenance::jobs(database).await {
            Ok(states) => scene.plan.states = states,
            Err(failure) if database.is_closed() => return Err(failure),
            Err(failure) => scene.unread = Some(failed(&failure)),
        }
        Ok(scene)
    }

    /// The JSON value that a query returns.
    pub(super) async fn ask<T: DeserializeOwned>(&self, sql: &str) -> Result<T, Failure> {
        read_only(self.database, sql, &[], "can't check").await
    }

    /// [`Self::ask`], with the names of pg_cron's jobs as $1.
    pub(super) async fn ask_about_jobs<T: DeserializeOwned>(&self, sql: &str) -> Result<T, Failure> {
        self.ask_about(sql, &cron_jobs()).await
    }

    /// [`Self::ask`], with names as $1.
    pub(super) async fn ask_about<T: DeserializeOwned>(&self, sql: &str, names: &[&str]) -> Result<T, Failure> {
        read_only(self.database, sql, &[(&names, Type::TEXT_ARRAY)], "can't check").await
    }

    /// Whether sessions can be counted. Where not, the check of the table says why.
    pub(super) fn can_count(&self) -> bool {
        let table = self.objects.table.as_ref();
        table.is_some_and(|table| table.is_readable && table.has_columns)
    }

    /// Judges the number of rows that a query finds.
    pub(super) async fn count(
        &self,
        rows: &str,
        by_index: ByIndex,
        values: &[(&str, Value<'_>)],
        judge: impl Fn(Count) -> Finding,
    ) -> Answer {
        if !self.can_count() {
            return Ok(None);
        }
        Ok(Some(judge(self.number(rows, by_index, values).await?)))
    }

    /// [`Self::count`] of rows of the schema's views: without them the rules are not there to count by.
    pub(super) async fn count_in_views(
        &self,
        rows: &str,
        by_index: ByIndex,
        values: &[(&str, Value<'_>)],
        judge: impl Fn(Count) -> Finding,
    ) -> Answer {
        if self.objects.table.is_some() && !self.objects.has_views {
            return Ok(Some(not_migrated()));
        }
        self.count(rows, by_index, values, judge).await
    }

    /// How many rows a query finds, exactly or by a sample of a large table.
    pub(super) async fn number(
        &self,
        rows: &str,
        by_index: ByIndex,
        values: &[(&str, Value<'_>)],
    ) -> Result<Count, Failure> {
        let count = |rows: &str| format!("select count(*) from ({rows}) as r");
        let Some(share) = self.sampled_share().await? else {
            let number = self.ask(&count(&whole(rows, values))).await?;
            return Ok(Count {
                number,
                is_estimate: false,
            });
        };
        let few = match by_index {
            ByIndex::All | ByIndex::AllByBitmap => Some(whole(rows, values)),
            ByIndex::Some(rows) => Some(whole(rows, values)),
            ByIndex::None => None,
        };
        let mut found = 0;
        if let Some(rows) = few {
            let by_limit = count(&format!("select from ({rows}) as f limit {}", FEW + 1));
            let settings = match by_index {
                ByIndex::AllByBitmap => BITMAPS,
                _ => INDEXES,
            };
            let number: Option<u64> = self.by_index_alone(settings, &by_limit).await?;
            if let (Some(number @ ..=FEW), ByIndex::All | ByIndex::AllByBitmap) = (number, by_index) {
                return Ok(Count {
                    number,
                    is_estimate: false,
                });
            }
            found = number.unwrap_or(0);
        }
        let sampled: u64 = self.ask_of_sample(&count(&sample(rows, share, values))).await?;
        Ok(Count {
            number: scaled(sampled, share).max(found),
            is_estimate: true,
        })
    }

    /// The JSON value of a query on rows: of the whole table if it is small, else of a sample.
    pub(super) async fn ask_of_rows<T: DeserializeOwned>(
        &self,
        sql: &str,
        values: &[(&str, Value<'_>)],
    ) -> Result<T, Failure> {
        match self.sampled_share().await? {
            None => self.ask(&whole(sql, values)).await,
            Some(share) => self.ask_of_sample(&sample(sql, share, values)).await,
        }
    }

    async fn by_index_alone<T: DeserializeOwned>(&self, settings: &str, sql: &str) -> Result<Option<T>, Failure> {
        let answer = by_index(self.database, settings, sql).await;
        explained(self.database, answer, "can't check").await
    }

    async fn ask_of_sample<T: DeserializeOwned>(&self, sql: &str) -> Result<T, Failure> {
        // Rows by their place, and by nothing else.
        let settings = "set local enable_seqscan = off; set local enable_bitmapscan = off; set local enable_indexscan = off; \
                        set local enable_indexonlyscan = off";
        let answer = query(self.database, settings, LIMIT, sql, &[]).await;
        explained(self.database, answer, "can't check").await
    }

    /// The share of the table that a sample has. None where the table is small.
    async fn sampled_share(&self) -> Result<Option<f64>, Failure> {
        let blocks = match self.blocks.get() {
            Some(blocks) => blocks,
            None => self.ask(include_str!("blocks.sql")).await?,
        };
        self.blocks.set(Some(blocks));
        #[allow(clippy::cast_precision_loss)]
        Ok((blocks > SMALL).then(|| SAMPLE as f64 / blocks as f64))
    }
}

/// The JSON value of a query that an index answers fast, row by row. None where it does not.
pub(super) async fn by_rows_of_index<T: DeserializeOwned>(
    database: &Database,
    sql: &str,
) -> Result<Option<T>, QueryError> {
    by_index(database, INDEXES, sql).await
}

async fn by_index<T: DeserializeOwned>(
    database: &Database,
    settings: &str,
    sql: &str,
) -> Result<Option<T>, QueryError> {
    match query(database, settings, PROBE_LIMIT, sql, &[]).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A query on all rows.
pub(super) fn whole(sql: &str, values: &[(&str, Value<'_>)]) -> String {
    let lines: Vec<&str> = sql.lines().filter(|line| !line.contains(":sample")).collect();
    bind(&lines.join("\n"), values)
}

/// A query on a share of the rows, which are those of the same blocks each time.
fn sample(sql: &str, share: f64, values: &[(&str, Value<'_>)]) -> String {
    let rows = format!(
        "array(select t.ctid from only public.user_sessions as t tablesample system ({:.6}) repeatable (0))",
        share * 100.0
    );
    bind(&sql.replace(":sample", &rows), values)
}

/// What a number in a sample means for the table, to two digits.
fn scaled(sampled: u64, share: f64) -> u64 {
    #[allow(clippy::cast_precision_loss)]
    let number = sampled as f64 / share;
    let unit = 10_f64.powf((number.max(1.0).log10().floor() - 1.0).max(0.0));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rounded = ((number / unit).round() * unit) as u64;
    rounded
}

/// Runs a query in a read-only transaction of its own, in one round trip.
async fn query<T: DeserializeOwned>(
    database: &Database,
    settings: &str,
    limit: u32,
    sql: &str,
    parameters: &[Parameter<'_>],
) -> Result<T, QueryError> {
    let opening = format!(
        "set transaction isolation level read committed, read only; set local lock_timeout = {LOCK_LIMIT}; \
         set local statement_timeout = {limit}; set local jit = off; {settings}"
    );
    let (answer, ended) = tokio::join!(database.json_after(&opening, sql, parameters), database.run("rollback"));
    let answer = answer?;
    ended?;
    Ok(answer)
}

async fn read_only<T: DeserializeOwned>(
    database: &Database,
    sql: &str,
    parameters: &[Parameter<'_>],
    what: &str,
) -> Result<T, Failure> {
    let answer = query(database, "", LIMIT, sql, parameters).await;
    explained(database, answer, what).await
}

async fn explained<T>(database: &Database, answer: Result<T, QueryError>, what: &str) -> Result<T, Failure> {
    match answer {
        Ok(answer) => Ok(answer),
        Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {
            Err(Failure::new(format!("not finished within {} s", LIMIT / 1_000))
                .hint("the server is busy, or something of the schema is missing: run sessctl verify"))
        }
        Err(error) => Err(database.explain(error, what).await),
    }
}
