//! A cleanup that archives: in rounds, each of which reads sessions, writes them into parts, stores the parts, and has exactly those
//! sessions deleted in ordinary batches. No transaction is open while a part is written or stored.

use std::time::Duration;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval_at};

use super::archived::Archived;
use super::halt::Halt;
use super::outcome::Written;
use super::run::{End, Run};
use super::strategy::Strategy;
use super::{ArchiveWork, Event};
use crate::archive::{Column, Columns, Command, CommandError, Ended, Finished, Folder};
use crate::database::{QueryError, READ_ONLY_TRANSACTION, Value, bind};
use crate::failure::Failure;
use crate::output::count;

/// How often the run's record shows that it is running, while parts are written or stored, and how long that may take.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
const SIGN_TIMEOUT: Duration = Duration::from_secs(2);

/// Where a scan begins.
const BEGINNING: &str = "-infinity";

/// What archives the sessions of a run.
pub(super) struct Archiver {
    pub(super) columns: Columns,
    pub(super) folder: Folder,
    command: Option<Command>,
    /// Why the run ends once what is stored is deleted.
    failure: Option<Failure>,
    pub(super) written: Written,
}

/// What ends a round early.
pub(super) enum Trouble {
    Query(QueryError),
    Halted(Halt),
    Failed(Failure),
}

impl From<QueryError> for Trouble {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

impl<E: Into<Failure>> From<E> for Trouble {
    fn from(failure: E) -> Self {
        Self::Failed(failure.into())
    }
}

impl Run<'_> {
    /// Opens the folder, and has the database require an archive from now on.
    pub(super) async fn prepare_archive(&mut self) -> Result<(), Failure> {
        let Some(archive) = &self.work.archive else {
            if self.work.no_archive_required {
                self.require_archive(false).await?;
            }
            return Ok(());
        };
        let columns = self.columns(archive).await?;
        // Without a listener, a file that grows over the user's limit would end the process.
        let _ = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()));
        let (dir, run) = (archive.dir.clone(), self.record.id().to_owned());
        let folder = blocking(move || Folder::open(&dir, &run)).await??;
        if let Some(command) = &archive.command {
            command.check(folder.path())?;
        }
        self.require_archive(!self.work.no_archive_required).await?;
        self.archiver = Some(Archiver {
            columns,
            folder,
            command: archive.command.clone(),
            failure: None,
            written: Written::default(),
        });
        Ok(())
    }

    async fn require_archive(&self, required: bool) -> Result<(), Failure> {
        let sql = bind(
            include_str!("archive/require.sql"),
            &[("required", Value::Bool(required))],
        );
        match self.database.transact::<Option<bool>>("", &sql).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.database.explain(error, &self.failed()).await),
        }
    }

    pub(super) async fn columns(&self, archive: &ArchiveWork) -> Result<Columns, Failure> {
        let without = [("without_addresses", Value::Bool(archive.without_addresses))];
        let sql = bind(include_str!("archive/columns.sql"), &without);
        let list: Vec<Column> = match self.database.transact(READ_ONLY_TRANSACTION, &sql).await {
            Ok(list) => list,
            Err(error) => return Err(self.database.explain(error, &self.failed()).await),
        };
        Columns::new(list).ok_or_else(|| {
            Failure::new("archive: public.user_sessions lacks the columns id and ended_at of their types")
                .hint("run sessctl verify")
        })
    }

    /// Whether the next step of the run is a round of its archive.
    pub(super) fn is_to_archive(&self) -> bool {
        let is_between = matches!(self.strategy, Strategy::TimeSlices(_) | Strategy::BlockRanges(_));
        self.archiver.is_some() && !self.is_settling && self.division.is_none() && is_between
    }

    /// Whether the run is deleting what it has archived.
    pub(super) fn deletes_archived(&self) -> bool {
        matches!(self.strategy, Strategy::Archived(_))
    }

    /// A batch of archived sessions is about to be sent. Gives back whether its part had to stay before.
    pub(super) fn begin_archived(&mut self) -> bool {
        match &mut self.strategy {
            Strategy::Archived(list) => list.begin(),
            _ => false,
        }
    }

    pub(super) fn keep_archived(&mut self, stays: bool) {
        if let Strategy::Archived(list) = &mut self.strategy {
            list.keep(stays);
        }
    }

    /// One round, and the halt that has cut it off, if one has.
    ///
    /// # Errors
    /// The disk's, the command's.
    pub(super) async fn archive_or_halt(
        &mut self,
        cutoff: &str,
    ) -> Result<(Result<Option<End>, QueryError>, Option<Halt>), Failure> {
        match self.archive(cutoff).await {
            Ok(end) => Ok((Ok(end), None)),
            Err(Trouble::Query(error)) => Ok((Err(error), None)),
            Err(Trouble::Halted(halt)) => {
                self.clear().await;
                Ok((Ok(None), Some(halt)))
            }
            Err(Trouble::Failed(failure)) => {
                let message = failure.to_string();
                Err(self.give_up(failure, &message).await)
            }
        }
    }

    /// One round: sessions are read, written and stored. What is deleted next is exactly those.
    async fn archive(&mut self, cutoff: &str) -> Result<Option<End>, Trouble> {
        if let Some(failure) = self.archiver.as_mut().and_then(|archiver| archiver.failure.take()) {
            return Err(Trouble::Failed(failure));
        }
        let claim = self.bind(include_str!("archive/claim.sql"), &[("cutoff", Value::Text(cutoff))]);
        if !self.until_halted(self.database.transact::<bool>("", &claim)).await?? {
            return Ok(Some(End::Skipped));
        }
        let (writer, position) = self.read_round(cutoff).await?;
        let parts = self.beside(blocking(move || writer.finish())).await???;
        let (parts, is_all) = self.store(parts).await?;
        // What is not stored is met again.
        let position = if is_all { position } else { Some(BEGINNING.into()) };
        if let Some(archiver) = &mut self.archiver {
            parts
                .iter()
                .for_each(|part| archiver.written.add(part.rows, part.bytes));
        }
        self.strategy = match parts.is_empty() {
            true => Strategy::at(position),
            false => Strategy::Archived(Archived::new(parts, position)),
        };
        Ok(None)
    }

    /// Has the command store the parts, and says whether it stored all. Those that it did not store are removed: all their sessions
    /// are in the table.
    async fn store(&mut self, parts: Vec<Finished>) -> Result<(Vec<Finished>, bool), Trouble> {
        let Some(command) = self.archiver.as_ref().and_then(|archiver| archiver.command.clone()) else {
            return Ok((parts, true));
        };
        let (halts, observe) = (self.halts, self.observe);
        // Half of the time that is left is for deleting what is stored.
        let begun = Instant::now();
        let until = halts
            .deadline
            .map(|deadline| begun + deadline.saturating_duration_since(begun) / 2);
        let mut stored = Vec::new();
        for mut part in parts {
            if !stored.is_empty() && until.is_some_and(|until| Instant::now() >= until) {
                return Ok((stored, false));
            }
            let running = command.run(&part, halts.elsewhere(), |line| observe(Event::Command(line)));
            match self.with_signs_of_life(running).await {
                Ended::Stored => {
                    part.stays = true;
                    stored.push(part);
                }
                Ended::Stopped(halt) => return Err(Trouble::Halted(halt)),
                Ended::Failed(error) => {
                    if let Some(archiver) = &mut self.archiver {
                        archiver.failure = Some(command_failed(&error, &part));
                    }
                    return Ok((stored, false));
                }
            }
        }
        Ok((stored, true))
    }

    /// What a query gives, unless a halt comes first.
    pub(super) async fn until_halted<T>(&self, query: impl Future<Output = T>) -> Result<T, Trouble> {
        let halts = self.halts;
        tokio::select! {
            result = query => Ok(result),
            halt = halts.elsewhere() => Err(Trouble::Halted(halt)),
        }
    }

    /// Does what takes a while beside the database: its record shows that the run is running, and a halt ends the wait.
    pub(super) async fn beside<T>(&self, work: impl Future<Output = T>) -> Result<T, Trouble> {
        let halts = self.halts;
        tokio::select! {
            result = self.with_signs_of_life(work) => Ok(result),
            halt = halts.elsewhere() => Err(Trouble::Halted(halt)),
        }
    }

    async fn with_signs_of_life<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut signs = interval_at(Instant::now() + SIGN_OF_LIFE, SIGN_OF_LIFE);
        let sql = bind(include_str!("record/touch.sql"), &self.record.identity());
        loop {
            tokio::select! {
                result = &mut work => return result,
                // A lost connection is found by what comes next.
                _ = signs.tick() => drop(self.database.transact_within::<bool>(SIGN_TIMEOUT, "", &sql).await),
            }
        }
    }
}

/// Does what blocks, as disks do, in a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let done = spawn_blocking(work).await;
    done.map_err(|error| Failure::new("archive: the thread that writes has ended").because(error))
}

fn command_failed(error: &CommandError, part: &Finished) -> Failure {
    let said = error
        .last_line
        .as_ref()
        .map(|line| format!(": {line}"))
        .unwrap_or_default();
    let what = format!(
        "archive-command {} for {} of {} sessions{said}",
        error.what,
        part.relative,
        count(part.rows)
    );
    Failure::new(what).hint(
        "its sessions are all in the table, and a later run archives them again: see what the command wrote, then run cleanup again",
    )
}
