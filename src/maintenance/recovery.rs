//! What a run does after a failed statement: it goes on, on another connection if need be, or says how far it got.

use tokio_postgres::Error;

use super::Event;
use super::ending::CLOSING_TIMEOUT;
use super::fault::Fault;
use super::record::Stored;
use super::run::Run;
use crate::database::{Database, QueryError, function_in};
use crate::failure::Failure;
use crate::output::count;

impl Run<'_> {
    /// Makes the run able to go on after a failed statement, or says why that is no use.
    pub(super) async fn recover(&mut self, cutoff: &str, error: QueryError) -> Result<(), Failure> {
        let fault = error.fault();
        if fault == Fault::Rows || fault == Fault::TooSlow && self.division.is_some() {
            return self.divide(cutoff, &error).await;
        }
        self.failures += 1;
        let is_hopeless = match fault {
            Fault::Fatal | Fault::Rows => true,
            Fault::TooSlow => !self.size.halve(),
            Fault::Lost | Fault::Contended => self.failures > self.options.max_retries,
        };
        if is_hopeless {
            self.read_record(cutoff).await;
            let message = error.summary();
            let failure = self.database.explain(error, &self.failed()).await;
            return Err(self.give_up(failure, &message).await);
        }
        if fault != Fault::TooSlow {
            tokio::time::sleep(self.backoff.next().unwrap_or_default()).await;
        }
        if fault != Fault::Lost && self.fence(cutoff).await.is_ok() {
            return Ok(());
        }
        self.reconnect(cutoff, error).await
    }

    /// A new connection; the scan begins again there.
    async fn reconnect(&mut self, cutoff: &str, lost: QueryError) -> Result<(), Failure> {
        (self.observe)(Event::Note("lost the connection, trying again"));
        let target = self.database.target().clone();
        let mut last = lost.explain(&self.failed());
        while self.failures <= self.options.max_retries {
            match Database::connect(&target, self.work.job.name).await {
                Ok(database) => {
                    self.database = database;
                    match self.fence(cutoff).await {
                        Ok(()) => {
                            self.restart();
                            return Ok(());
                        }
                        Err(error) => last = error.explain(&self.failed()),
                    }
                }
                // Wrong credentials stay wrong, and poolers ban clients that insist.
                Err(failure) if !failure.is_transient() => return Err(self.give_up(failure, "login refused").await),
                Err(failure) => last = failure,
            }
            self.failures += 1;
            tokio::time::sleep(self.backoff.next().unwrap_or_default()).await;
        }
        Err(self.give_up(last, "lost the connection").await)
    }

    /// Waits for a batch that is still running on a lost connection, keeps out later ones, and reads what the run has done.
    pub(super) async fn fence(&mut self, cutoff: &str) -> Result<(), QueryError> {
        let stored: Stored = self.database.transact("", &self.record.fence_sql(cutoff)).await?;
        self.record.take(&stored);
        self.in_doubt = false;
        Ok(())
    }

    /// Reads what the run has done before it gives up, on a last connection if need be. Where the server can't be asked, the
    /// message says what is in doubt.
    pub(super) async fn read_record(&mut self, cutoff: &str) {
        let read = async {
            if self.fence(cutoff).await.is_err()
                && let Ok(database) = Database::connect(&self.database.target().clone(), self.work.job.name).await
            {
                self.database = database;
                let _ = self.fence(cutoff).await;
            }
        };
        let _ = tokio::time::timeout(CLOSING_TIMEOUT, read).await;
    }

    /// Closes the record as failed, where the server can be reached, and says what had been done before.
    async fn give_up(&mut self, failure: Failure, message: &str) -> Failure {
        let sql = self.record.finish_sql("failed", None, self.unable.rows, Some(message));
        let _ = tokio::time::timeout(CLOSING_TIMEOUT, self.database.transact::<Stored>("", &sql)).await;
        let (rows, done) = (count(self.record.rows), self.work.job.done);
        match (self.record.rows, self.in_doubt) {
            (0, false) => failure,
            (_, false) => failure.after(&format!("{rows} sessions had been {done} before, and stay so")),
            (_, true) => failure.after(&format!(
                "{rows} sessions had been {done} before; whether the last batch was committed is not known"
            )),
        }
    }
}

impl QueryError {
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Server(error) => Fault::of(error),
            Self::Silence(_) => Fault::Lost,
            Self::Empty | Self::Shape(_) => Fault::Fatal,
        }
    }

    /// Why a session failed alone: the constraint, or the function that raised it, and the message.
    pub(super) fn reason(&self) -> String {
        let Some(db) = self.db_error() else {
            return self.summary();
        };
        if db.code().code() == "SC002" {
            return "a row of another table that refers to it is locked".into();
        }
        let raised_by = db.where_().and_then(function_in);
        match (db.constraint(), db.table(), raised_by) {
            (Some(constraint), Some(table), _) => format!("constraint {constraint} of table {table}"),
            (_, _, Some(function)) => format!("function {function}: {}", db.message()),
            _ => db.message().to_owned(),
        }
    }

    /// What is kept of it in the run's record: no detail, which may hold the contents of a row.
    fn summary(&self) -> String {
        match self {
            Self::Server(error) => summary(error),
            Self::Silence(_) => "no answer from the server".into(),
            Self::Empty | Self::Shape(_) => "unknown answer of the server".into(),
        }
    }
}

fn summary(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
        None => "lost the connection".into(),
    }
}
