//! What a run does after a failed statement: it goes on, on another connection if need be, or says how far it got.

use tokio::time::{sleep, timeout};
use tokio_postgres::Error;
use tokio_postgres::error::DbError;

use super::Event;
use super::ending::CLOSING_TIMEOUT;
use super::failures::Failures;
use super::fault::Fault;
use super::record::Stored;
use super::run::Run;
use crate::database::{QueryError, function_in};
use crate::failure::Failure;
use crate::output::count;

impl Run<'_> {
    /// Makes the run able to go on after a failed statement, or says why that is no use.
    pub(super) async fn recover(&mut self, cutoff: &str, error: QueryError) -> Result<(), Failure> {
        let fault = error.fault();
        if fault == Fault::Rows || fault == Fault::TooSlow && self.division.is_some() {
            return self.divide(cutoff, &error).await;
        }
        if fault == Fault::Fatal && error.is_a_lack_elsewhere() {
            // It may be about some sessions: where others are done, or none was tried alone.
            let part = self.division.as_ref().and_then(|divided| divided.parts.part());
            let is_one_row = part.is_some_and(|part| !part.contains(' '));
            if self.record.changed() > 0 || self.unable.rows < 2 || !is_one_row {
                return self.divide(cutoff, &error).await;
            }
            self.unable = Failures::default();
        }
        let mut trouble = Trouble::Statement(error);
        let mut is_told = false;
        loop {
            let fault = trouble.fault();
            let is_hopeless = match fault {
                Fault::Fatal | Fault::Rows => true,
                Fault::TooSlow => !self.size.halve() && !self.give_more_time(),
                Fault::Lost | Fault::Contended => {
                    self.failures += 1;
                    self.failures > self.options.max_retries
                }
            };
            if is_hopeless {
                return Err(self.fail(cutoff, trouble).await);
            }
            if fault != Fault::TooSlow {
                sleep(self.backoff.next().unwrap_or_default()).await;
            }
            if fault == Fault::Lost && !is_told {
                (self.observe)(Event::Note("lost the connection, trying again"));
                is_told = true;
            }
            let fenced = match fault {
                Fault::Lost => self.reconnect(cutoff).await,
                _ => self.fence(cutoff).await.map_err(Trouble::Fence),
            };
            match fenced {
                Ok(()) => return Ok(()),
                Err(next) => trouble = next,
            }
        }
    }

    /// Gives a batch of one row the time that other answers have. False: it has.
    fn give_more_time(&mut self) -> bool {
        let limit = self.database.answer_timeout();
        let is_less = self.batch_timeout < limit;
        self.batch_timeout = limit;
        is_less
    }

    /// A new connection; the scan begins again there.
    async fn reconnect(&mut self, cutoff: &str) -> Result<(), Trouble> {
        self.database = self.database.connect_again().await.map_err(Trouble::Connection)?;
        self.restart();
        self.fence(cutoff).await.map_err(Trouble::Fence)
    }

    /// The failure of a run whose statement is no use trying again.
    pub(super) async fn fail_statement(&mut self, cutoff: &str, error: QueryError) -> Failure {
        self.fail(cutoff, Trouble::Statement(error)).await
    }

    /// The failure of a run that can't be recovered.
    async fn fail(&mut self, cutoff: &str, trouble: Trouble) -> Failure {
        match trouble {
            Trouble::Statement(error) | Trouble::Fence(error) => {
                self.read_record(cutoff).await;
                let message = error.summary();
                let failure = self.database.explain(error, &self.failed()).await;
                self.give_up(failure, &message).await
            }
            Trouble::Connection(failure) => self.give_up(failure, "no connection").await,
        }
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
                && let Ok(database) = self.database.connect_again().await
            {
                self.database = database;
                let _ = self.fence(cutoff).await;
            }
        };
        let _ = timeout(CLOSING_TIMEOUT, read).await;
    }

    /// Closes the record as failed, where the server can be reached, and says what had been done before.
    pub(super) async fn give_up(&mut self, failure: Failure, message: &str) -> Failure {
        let sql = self.record.finish_sql("failed", None, self.unable.rows, Some(message));
        let _ = timeout(CLOSING_TIMEOUT, self.database.transact::<Stored>("", &sql)).await;
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

/// What keeps a run from going on.
enum Trouble {
    Statement(QueryError),
    /// The fence did not work: a batch of this run is in its way, or the new connection is lost too.
    Fence(QueryError),
    Connection(Failure),
}

impl Trouble {
    fn fault(&self) -> Fault {
        match self {
            Self::Statement(error) => error.fault(),
            // A fence has no rows to be halved.
            Self::Fence(error) if error.fault() == Fault::TooSlow => Fault::Contended,
            Self::Fence(error) => error.fault(),
            Self::Connection(failure) if failure.is_transient() => Fault::Lost,
            // Wrong credentials stay wrong, and poolers ban clients that insist.
            Self::Connection(_) => Fault::Fatal,
        }
    }
}

impl QueryError {
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Server(error) => match Fault::of(error) {
                Fault::Fatal if error.as_db_error().is_some_and(is_raised_elsewhere) => Fault::Rows,
                fault => fault,
            },
            Self::Silence(_) => Fault::Lost,
            Self::Empty | Self::Shape(_) => Fault::Fatal,
        }
    }

    /// Whether a function that is not sessctl's lacks something: an object, a right.
    fn is_a_lack_elsewhere(&self) -> bool {
        self.db_error()
            .is_some_and(|db| db.code().code().starts_with("42") && db.where_().and_then(function_in).is_some())
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

/// Whether a function that is not sessctl's raised it: a trigger's, about a row, unless it says that the server lacks something
/// (class 53), which affects every other row too.
fn is_raised_elsewhere(db: &DbError) -> bool {
    let innermost = db.where_().and_then(|context| context.lines().next());
    !db.code().code().starts_with("53")
        && innermost.is_some_and(|line| line.ends_with(" at RAISE") && function_in(line).is_some())
}

fn summary(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
        None => "lost the connection".into(),
    }
}
