//! The connection, the same for every command: one policy, one set of messages.
//!
//! Everything goes through the simple protocol or unnamed statements, and no state outlives a transaction: a
//! transaction pooler may hand each transaction to another server connection.

mod error;
mod hint;
mod statement;
mod tls;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{CancelToken, Client, Error, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use error::QueryError;
pub use hint::{explain, server_message};
pub(crate) use statement::{Value, bind};

use crate::config::Target;
use crate::failure::Failure;

/// A parameter with its type, so that the server need not be asked for it.
pub type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// What every transaction begins with. Objects that somebody put into `public` under the names of built-in functions and
/// operators are out of sight, times are written in UTC, and nothing waits for ever for a table that somebody has locked.
const SAFE_SETTINGS: &str =
    "set local search_path = pg_catalog, pg_temp; set local timezone = 'UTC'; set local lock_timeout = '5s'";

/// One connection.
pub struct Database {
    client: Client,
    driver: JoinHandle<()>,
    target: Target,
    tls: MakeRustlsConnect,
}

/// Cancels what runs on a connection, from elsewhere.
pub struct Canceller {
    token: CancelToken,
    tls: MakeRustlsConnect,
}

impl Canceller {
    /// Asks the server to cancel the statement at work. Whether it did shows in that statement's end.
    pub async fn cancel(&self) {
        let _ = self.token.cancel_query(self.tls.clone()).await;
    }
}

impl Database {
    /// Connects; `command` goes into application_name, where the user gave none.
    ///
    /// # Errors
    /// What happened, on which host, port, user and database, and what to do.
    pub async fn connect(target: &Target, command: &str) -> Result<Self, Failure> {
        let tls = tls::connector(&target.tls)
            .map_err(|error| Failure::usage(format!("can't connect to {target}: {error}")))?;
        let mut config = target.config.clone();
        if config.get_application_name().is_none() {
            config.application_name(format!("sessctl/{} {command}", env!("CARGO_PKG_VERSION")));
        }
        // The driver's own limit ends with the TCP connection: a server that is silent after it would be waited for.
        let limit = config.get_connect_timeout().map(|timeout| timeout.saturating_mul(2));
        let connecting = config.connect(tls.clone());
        let connected = match limit {
            Some(limit) => tokio::time::timeout(limit, connecting).await.map_err(|_| {
                Failure::new(format!(
                    "can't connect to {target}: the server took the connection and said nothing"
                ))
                .hint("check that host and port are a PostgreSQL server's")
                .transient()
            })?,
            None => connecting.await,
        };
        let (client, connection) = connected.map_err(|error| hint::explain_connect(&error, target))?;
        let driver = tokio::spawn(async move {
            // Whatever ends the connection is reported by the statement that waits on it.
            let _ = connection.await;
        });
        Ok(Self {
            client,
            driver,
            target: target.clone(),
            tls,
        })
    }

    /// The database this is a connection to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// What cancels a statement at work here.
    pub fn canceller(&self) -> Canceller {
        Canceller {
            token: self.client.cancel_token(),
            tls: self.tls.clone(),
        }
    }

    /// Runs statements without a result in one round trip; several are one transaction.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn run(&self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await
    }

    /// The rows of a statement without parameters, their values as text.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn rows(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        self.client.simple_query(sql).await
    }

    /// The one JSON value that a query gives back, in a transaction of its own and one round trip.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn json<T: DeserializeOwned>(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<T, QueryError> {
        let opening = format!("begin; {SAFE_SETTINGS}");
        let (opened, answer, ended) = tokio::join!(
            self.run(&opening),
            self.json_within(sql, parameters),
            self.run("commit")
        );
        opened?;
        let answer = answer?;
        ended?;
        Ok(answer)
    }

    /// The one JSON value of a statement, in a transaction of its own that begins with `settings`. It is one message: where
    /// its beginning fails, nothing of it runs. Whatever fails, no transaction stays open.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub(crate) async fn transact<T: DeserializeOwned>(&self, settings: &str, sql: &str) -> Result<T, QueryError> {
        let message = format!("begin isolation level read committed; {SAFE_SETTINGS}; {settings}; {sql}; commit");
        match self.rows(&message).await {
            Ok(messages) => value(messages),
            Err(error) => {
                // A lost connection has no transaction, and says so with the next statement.
                let _ = self.run("rollback").await;
                Err(error.into())
            }
        }
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn begin(&self) -> Result<(), Error> {
        self.run(&format!("begin; {SAFE_SETTINGS}")).await
    }

    /// [`Self::json`] in a transaction that begins with `opening`, both sent at once: one round trip. It stays open.
    ///
    /// # Errors
    /// The server's, or the connection's; the first one, where both fail.
    pub async fn json_after<T: DeserializeOwned>(
        &self,
        opening: &str,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<T, QueryError> {
        let opening = format!("begin; {SAFE_SETTINGS}; {opening}");
        let (opened, answer) = tokio::join!(self.run(&opening), self.json_within(sql, parameters));
        opened?;
        answer
    }

    /// [`Self::json`] in the transaction that is open.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn json_within<T: DeserializeOwned>(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<T, QueryError> {
        // A simple query is planned in place: the server spares the copies that a statement with parameters keeps.
        if parameters.is_empty() {
            return value(self.rows(sql).await?);
        }
        let rows = self.client.query_typed(sql, parameters).await?;
        let text: &str = rows.first().ok_or(QueryError::Empty)?.try_get(0)?;
        Ok(serde_json::from_str(text)?)
    }

    /// [`Self::json`], its error in words: `what` could not be done.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
        what: &str,
    ) -> Result<T, Failure> {
        match self.json(sql, parameters).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.explain(error, what).await),
        }
    }

    /// [`QueryError::explain`], and where a lock was in the way, who holds it. Ends the transaction that failed.
    pub async fn explain(&self, error: QueryError, what: &str) -> Failure {
        let is_held = error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
        let failure = error.explain(what);
        if !is_held {
            return failure;
        }
        let _ = self.run("rollback").await;
        match self.who_holds().await {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// [`Self::explain`] for what reads the history, which needs two rights of its own.
    pub async fn explain_history(&self, error: QueryError, what: &str) -> Failure {
        let is_denied = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
        let failure = self.explain(error, what).await;
        if is_denied {
            failure.hint("this needs: grant usage on schema sessctl to …; grant select on sessctl.schema_history to …")
        } else {
            failure
        }
    }

    /// Who holds a lock on the table, and what to do about it. No transaction may be open.
    pub async fn who_holds(&self) -> Option<String> {
        let holder: Option<Holder> = self.json(include_str!("holder.sql"), &[]).await.ok()?;
        let Holder {
            pid,
            seconds,
            state,
            query,
        } = holder?;
        if query.starts_with("autovacuum") {
            return Some("autovacuum is at work on the table, and gives way to who waits for over a second: run it again (migrate with --lock-timeout 2s)".into());
        }
        Some(format!(
            "process {pid} holds the table ({state}, for {seconds} s: {query}); wait for it, or end it with: select \
             pg_terminate_backend({pid})"
        ))
    }

    /// Says goodbye, so that a pooler sees a clean end.
    pub async fn close(self) {
        drop(self.client);
        let _ = self.driver.await;
    }
}

/// The JSON value in the first column of the first row.
fn value<T: DeserializeOwned>(messages: Vec<SimpleQueryMessage>) -> Result<T, QueryError> {
    let row = messages.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.ok_or(QueryError::Empty)?;
    Ok(serde_json::from_str(row.try_get(0)?.unwrap_or("null"))?)
}

#[derive(Deserialize)]
struct Holder {
    pid: i32,
    seconds: i64,
    state: String,
    query: String,
}
