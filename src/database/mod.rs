//! The connection, the same for every command: one policy, one set of messages.
//!
//! Everything goes through the simple protocol or unnamed statements, and no state outlives a transaction: a
//! transaction pooler may hand each transaction to another server connection.

mod bounded;
mod connect;
mod error;
mod explain;
mod hint;
mod holder;
mod sieve;
mod statement;
mod tls;
mod transaction;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{CancelToken, Client, Error, SimpleQueryMessage, SimpleQueryRow};

pub use error::QueryError;
pub(crate) use hint::{FILTERED, READ_ONLY, function_in, missing_table_hint};
pub use hint::{functions, server_message};
pub(crate) use statement::{Value, bind};
pub(crate) use tls::verifying_client;

use bounded::Connector;

use crate::config::Target;
use crate::failure::Failure;

/// A parameter with its type, so that the server need not be asked for it.
pub type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// How long an answer may take, unless --timeout says otherwise.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What an answer that the server cuts off at the limit has to arrive.
const GRACE: Duration = Duration::from_secs(2);

/// How long a cancel request and closing the connection may take.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(700);
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);

/// For a transaction that changes nothing.
pub(crate) const READ_ONLY_TRANSACTION: &str = "set transaction read only";

/// One connection. Every answer comes within a limit, or the connection is given up.
pub struct Database {
    client: Client,
    driver: JoinHandle<()>,
    is_given_up: AtomicBool,
    target: Target,
    command: String,
    connector: Connector,
    /// How long an answer may take.
    limit: Duration,
    /// The same, for the server.
    statement_timeout: Option<Duration>,
}

/// Cancels what runs on a connection, from elsewhere.
pub struct Canceller {
    token: CancelToken,
    connector: Connector,
}

impl Canceller {
    /// Asks the server to cancel the statement that is running. Whether it did shows in that statement's end.
    pub async fn cancel(&self) {
        let _ = timeout(CANCEL_TIMEOUT, self.connector.cancel(&self.token)).await;
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
        let connector = Connector::take_over(&mut config, tls);
        let connected = connect::connect(&config, &connector).await;
        let (client, connection) = connected.map_err(|error| hint::explain_connect(&error, target))?;
        let driver = tokio::spawn(async move {
            // Whatever ends the connection is reported by the statement that waits on it.
            let _ = connection.await;
        });
        let limit = target.timeout.unwrap_or(ANSWER_TIMEOUT);
        Ok(Self {
            client,
            driver,
            is_given_up: AtomicBool::new(false),
            target: target.clone(),
            command: command.into(),
            connector,
            limit,
            statement_timeout: Some(limit),
        })
    }

    /// Another connection of the same kind.
    ///
    /// # Errors
    /// As of [`Self::connect`].
    pub async fn connect_again(&self) -> Result<Self, Failure> {
        let again = Self::connect(&self.target, &self.command).await?;
        Ok(Self {
            statement_timeout: self.statement_timeout,
            ..again
        })
    }

    /// From now on the server is given no limit for a statement: its own statement_timeout alone counts.
    pub(crate) fn without_statement_timeout(self) -> Self {
        Self {
            statement_timeout: None,
            ..self
        }
    }

    /// The same without the lock_timeout that a role or a database may have, where the server, or a pooler before it, lets a client
    /// lift it. A concurrent index build needs that: it waits for older transactions, and can set no limit of its own.
    ///
    /// # Errors
    /// As of [`Self::connect`].
    pub(crate) async fn without_lock_timeout(self) -> Result<Self, Failure> {
        if self.has_no_lock_timeout().await {
            return Ok(self);
        }
        let Self {
            target,
            command,
            statement_timeout,
            ..
        } = &self;
        let (target, command, statement_timeout) = (target.clone(), command.clone(), *statement_timeout);
        // The pool may have one connection.
        self.close().await;
        let mut lifted = target.clone();
        let options = target.config.get_options().unwrap_or_default();
        lifted.config.options(format!("{options} -c lock_timeout=0"));
        // A pooler may refuse the parameter.
        let database = match Self::connect(&lifted, &command).await {
            Ok(database) => database,
            Err(_) => Self::connect(&target, &command).await?,
        };
        Ok(Self {
            statement_timeout,
            ..database
        })
    }

    async fn has_no_lock_timeout(&self) -> bool {
        let shown = self.rows("show lock_timeout").await.unwrap_or_default();
        shown
            .iter()
            .any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("0")))
    }

    /// The database this is a connection to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How long an answer may take.
    pub(crate) fn answer_timeout(&self) -> Duration {
        self.limit
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed) || self.client.is_closed()
    }

    /// Drops the connection without closing it: whatever waits for an answer hears that it is closed.
    pub(crate) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
        self.driver.abort();
    }

    /// The answer, within the limit.
    async fn answer<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, QueryError> {
        match timeout(limit.saturating_add(GRACE), answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                self.give_up();
                Err(QueryError::Silence(limit))
            }
        }
    }

    /// What cancels a statement that is running here.
    pub fn canceller(&self) -> Canceller {
        Canceller {
            token: self.client.cancel_token(),
            connector: self.connector.clone(),
        }
    }

    /// Runs statements without a result in one round trip; several are one transaction.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn run(&self, sql: &str) -> Result<(), QueryError> {
        self.run_within(self.limit, sql).await
    }

    /// [`Self::run`] with a limit of its own for the answer.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub(crate) async fn run_within(&self, limit: Duration, sql: &str) -> Result<(), QueryError> {
        self.answer(limit, self.client.batch_execute(sql)).await
    }

    /// The rows of a statement without parameters, their values as text.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn rows(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, QueryError> {
        self.answer(self.limit, self.client.simple_query(sql)).await
    }

    /// The one JSON value that a query gives back, in a transaction of its own and one round trip.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn json<T: DeserializeOwned>(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<T, QueryError> {
        let opening = transaction::begin("", self.statement_timeout);
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
        self.transact_within(self.limit, settings, sql).await
    }

    /// [`Self::transact`] with a limit of its own.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub(crate) async fn transact_within<T: DeserializeOwned>(
        &self,
        limit: Duration,
        settings: &str,
        sql: &str,
    ) -> Result<T, QueryError> {
        let begin = transaction::begin(settings, Some(limit));
        let message = format!("{begin}; {sql}; commit");
        match self.answer(limit, self.client.simple_query(&message)).await {
            Ok(messages) => value(messages),
            Err(error) => {
                // A lost connection has no transaction, and says so with the next statement.
                let _ = self.run("rollback").await;
                Err(error)
            }
        }
    }

    /// The rows of a query, their values as text, in a transaction of its own that begins with `settings`, in one message. `bytes`:
    /// how long the answer may be, where that is more than other answers may be.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub(crate) async fn read_rows(
        &self,
        settings: &str,
        sql: &str,
        bytes: usize,
    ) -> Result<Vec<SimpleQueryRow>, QueryError> {
        let begin = transaction::begin(settings, Some(self.limit));
        let message = format!("{begin}; {sql}; commit");
        let allowance = self.connector.allow(bytes);
        let answer = self.answer(self.limit, self.client.simple_query(&message)).await;
        drop(allowance);
        match answer {
            Ok(messages) => Ok(last_rows(messages)),
            Err(error) => {
                let _ = self.run("rollback").await;
                Err(error)
            }
        }
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn begin(&self) -> Result<(), QueryError> {
        self.run(&transaction::begin("", self.statement_timeout)).await
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
        let opening = transaction::begin(opening, self.statement_timeout);
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
        let rows = self
            .answer(self.limit, self.client.query_typed(sql, parameters))
            .await?;
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

    /// Closes the connection, so that a pooler sees a clean end.
    pub async fn close(self) {
        drop(self.client);
        let _ = timeout(GOODBYE_TIMEOUT, self.driver).await;
    }
}

/// The JSON value in the first column of the last row: those before it belong to the transaction's beginning.
fn value<T: DeserializeOwned>(messages: Vec<SimpleQueryMessage>) -> Result<T, QueryError> {
    let row = messages.into_iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.ok_or(QueryError::Empty)?;
    Ok(serde_json::from_str(row.try_get(0)?.unwrap_or("null"))?)
}

/// The rows of the last statement that has any: those before it belong to the transaction's beginning.
fn last_rows(messages: Vec<SimpleQueryMessage>) -> Vec<SimpleQueryRow> {
    let mut rows = Vec::new();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(_) => rows.clear(),
            SimpleQueryMessage::Row(row) => rows.push(row),
            _ => {}
        }
    }
    rows
}
