//! The loop of a run: one batch after the other until nothing is left, and on again after a fault.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::archived::Lists;
use super::archiving::Archiver;
use super::division::Streak;
use super::failures::Failures;
use super::fault::Fault;
use super::halt::Halts;
use super::lag::Lag;
use super::record::RunRecord;
use super::scan::Divided;
use super::size::BatchSize;
use super::strategy::{Step, Strategy};
use super::{Event, Options, OtherRun, Outcome, Work};
use crate::database::{Database, QueryError, Value, bind};
use crate::failure::Failure;
use crate::retry::Backoff;
use crate::signals::StopSignal;

/// Dead index entries that are worth a walk.
const MANY_ROWS: u64 = 100_000;

/// How long a batch may take, unless --timeout says otherwise: it may keep a heartbeat waiting as long, where nobody notices
/// that the network is gone.
const BATCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The pauses between two attempts.
pub(super) const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// Runs a job until nothing is left, or as far as the options let it.
///
/// # Errors
/// The server's or the connection's, where trying again is no use; the message says how far the run got.
pub async fn run(
    work: &Work,
    options: &Options,
    database: Database,
    stop: &StopSignal,
    observe: &dyn Fn(Event<'_>),
    confirm: impl AsyncFn(&str) -> Result<(), Failure>,
) -> Result<Outcome, Failure> {
    let begun = Instant::now();
    let mut run = Run {
        work,
        options,
        observe,
        halts: Halts {
            stop,
            deadline: options.deadline,
        },
        batch_timeout: database.target().timeout.unwrap_or(BATCH_TIMEOUT),
        database,
        record: RunRecord::new(work.job),
        in_doubt: false,
        is_settling: false,
        left_unsettled: 0,
        strategy: Strategy::TimeSlices(None),
        size: BatchSize::new(work.job.first_batch, work.batch_size),
        failures: 0,
        backoff: BACKOFF,
        division: None,
        streak: Streak::default(),
        unable: Failures::default(),
        known: HashSet::new(),
        scan_began_at: 0,
        idle_scans: 0,
        lag: Lag::default(),
        waited: Duration::ZERO,
        archiver: None,
    };
    let mut outcome = Outcome {
        job: work.job,
        rows: (work.job.done, 0),
        settled: 0,
        batches: 0,
        cutoff: String::new(),
        dry_run: options.dry_run,
        elapsed: Duration::ZERO,
        skipped: false,
        other: None,
        interrupted: false,
        out_of_time: false,
        left: None,
        failed: 0,
        failures: Failures::default(),
        archive: None,
    };
    if options.dry_run {
        let counted = run.unless_halted("stopped while counting; nothing was changed", async |run| {
            let what = format!("{}: can't count", run.work.job.name);
            match run.count(None).await {
                Ok(count) => Ok(count),
                Err(error) => Err(run.database.explain(error, &what).await),
            }
        });
        let counted = counted.await?;
        (outcome.rows.1, outcome.settled, outcome.cutoff) = (counted.rows, counted.settled, counted.cutoff);
        if work.archive.is_some() {
            let estimated = run.unless_halted("stopped while counting; nothing was changed", async |run| {
                run.estimate_archive(&outcome.cutoff, outcome.rows.1).await
            });
            outcome.archive = Some(estimated.await?);
        }
    } else {
        run.unless_halted("stopped before anything was done", Run::prepare_archive)
            .await?;
        let start = run
            .unless_halted("stopped before anything was done", Run::start)
            .await?;
        outcome.cutoff = start.cutoff;
        outcome.skipped = start.skipped;
        run.is_settling = !start.unsettled.is_done();
        if start.due || run.is_settling {
            if start.last_threshold.is_some_and(|last| last > work.threshold) {
                run.unless_halted("stopped before anything was done", async |run| {
                    match run.question(&outcome.cutoff).await? {
                        Some(question) => confirm(&question).await,
                        None => Ok(()),
                    }
                })
                .await?;
            }
            run.strategy = match start.candidates {
                _ if run.is_settling => Strategy::Candidates(start.unsettled),
                Some(candidates) => Strategy::Candidates(candidates),
                None => Strategy::TimeSlices(None),
            };
            match run.work_through(&outcome.cutoff).await? {
                End::Finished { left } => outcome.left = left,
                End::Skipped => {
                    outcome.skipped = true;
                    outcome.other = Some(tokio::select! {
                        other = run.other_run() => other,
                        _ = run.halts.elsewhere() => OtherRun::default(),
                    });
                }
                End::Interrupted => outcome.interrupted = true,
                End::OutOfTime { left } => {
                    outcome.out_of_time = true;
                    outcome.left = left;
                }
            }
        }
        (outcome.rows.1, outcome.settled) = (run.record.rows, run.record.settled);
        outcome.batches = run.record.batches;
        outcome.archive = run.archiver.as_ref().map(|archiver| archiver.written);
        outcome.failures = run.unable;
        outcome.failed = outcome.failures.rows;
    }
    run.database.close().await;
    outcome.elapsed = begun.elapsed();
    Ok(outcome)
}

pub(super) struct Run<'a> {
    pub(super) work: &'a Work,
    pub(super) options: &'a Options,
    pub(super) observe: &'a dyn Fn(Event<'_>),
    pub(super) halts: Halts<'a>,
    /// How long a batch may take.
    pub(super) batch_timeout: Duration,
    pub(super) database: Database,
    pub(super) record: RunRecord,
    /// A batch was sent, and its answer has not come.
    pub(super) in_doubt: bool,
    /// Ended sessions are being settled; the job's own work comes then.
    pub(super) is_settling: bool,
    /// Sessions to settle whose rows others have locked.
    pub(super) left_unsettled: u64,
    pub(super) strategy: Strategy,
    pub(super) size: BatchSize,
    /// Failures since the last batch that worked.
    pub(super) failures: u32,
    pub(super) backoff: Backoff,
    /// The slice that is being divided, since a batch of it failed because of some of its rows.
    pub(super) division: Option<Divided>,
    /// The rows that fail one after the other, and those put off.
    pub(super) streak: Streak,
    /// The sessions that could not be done.
    pub(super) unable: Failures,
    /// The places of those that failed alone: a later scan meets them again.
    pub(super) known: HashSet<String>,
    /// The rows that were done when this scan began.
    pub(super) scan_began_at: u64,
    /// Scans in a row that did nothing.
    pub(super) idle_scans: u32,
    pub(super) lag: Lag,
    /// How long the next batch waited for replicas.
    pub(super) waited: Duration,
    /// What archives the sessions before they are deleted.
    pub(super) archiver: Option<Archiver>,
}

/// How a run came to its end.
pub(super) enum End {
    Finished {
        /// Locked by others.
        left: Option<u64>,
    },
    Skipped,
    Interrupted,
    /// How many are left, where the server could count them.
    OutOfTime {
        left: Option<u64>,
    },
}

impl End {
    /// The outcome in the run's record.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Finished { .. } => "done",
            Self::Skipped => "skipped",
            Self::Interrupted => "interrupted",
            Self::OutOfTime { .. } => "incomplete",
        }
    }
}

impl Run<'_> {
    /// The statement with the parameters of the job, of the run, and these.
    pub(super) fn bind(&self, sql: &str, values: &[(&str, Value<'_>)]) -> String {
        bind(
            sql,
            &[values, &self.record.identity()[..], &self.work.parameters()].concat(),
        )
    }

    pub(super) fn failed(&self) -> String {
        format!("{} failed on {}", self.work.job.name, self.database.target())
    }

    async fn work_through(&mut self, cutoff: &str) -> Result<End, Failure> {
        let halts = self.halts;
        let end = loop {
            let batch_begun = Instant::now();
            let is_to_archive = self.is_to_archive();
            let (result, mut halt) = if is_to_archive {
                self.archive_or_halt(cutoff).await?
            } else {
                self.batch_or_halt(cutoff).await
            };
            (self.observe)(Event::Progress(self.record.rows));
            match result {
                Ok(Some(end)) => break end,
                Ok(None) if is_to_archive => self.failures = 0,
                Ok(None) => {
                    self.failures = 0;
                    self.backoff = BACKOFF;
                    self.size
                        .adapt(batch_begun.elapsed().saturating_sub(std::mem::take(&mut self.waited)));
                }
                // Cancelled, or failed while it was about to be: nothing is tried again.
                Err(_) if halt.is_some() || halts.stop.is_requested() => self.read_record(cutoff).await,
                // What can't be read can't be divided.
                Err(error) if is_to_archive && error.fault() == Fault::Rows => {
                    return Err(self.fail_statement(cutoff, error).await);
                }
                Err(error) => tokio::select! {
                    recovered = self.recover(cutoff, error) => recovered?,
                    reached = halts.elsewhere() => {
                        self.clear().await;
                        halt = Some(reached);
                    }
                },
            }
            if let Some(halt) = halt.or_else(|| halts.reached()) {
                break self.end_early(cutoff, halt).await?;
            }
            if !self.options.pause.is_zero() {
                tokio::select! {
                    () = sleep(self.options.pause) => {}
                    halt = halts.before_a_batch() => break self.end_early(cutoff, halt).await?,
                }
            }
        };
        let end = self.finish(cutoff, end).await?;
        if matches!(end, End::Finished { .. }) {
            self.walk_dead_entries(cutoff).await;
        }
        Ok(end)
    }

    /// After many rows, looks once more: the server marks the index entries of rows that are gone when it meets them, and the next
    /// run would wait for that. Its failure is none of the run's.
    async fn walk_dead_entries(&self, cutoff: &str) {
        if let Some(sql) = self.work.job.sql.walk
            && self.record.rows >= MANY_ROWS
        {
            let sql = self.bind(sql, &[("cutoff", Value::Text(cutoff))]);
            tokio::select! {
                _ = self.database.transact::<bool>("", &sql) => {}
                _ = self.halts.elsewhere() => self.clear().await,
            }
        }
    }

    /// One batch, committed; the end where nothing is left or another run is running.
    pub(super) async fn batch(&mut self, cutoff: &str) -> Result<Option<End>, QueryError> {
        if !self.wait_for_replicas().await? {
            return Ok(None);
        }
        self.end_division();
        if self.is_to_archive() {
            return Ok(None);
        }
        if self.division.is_none() {
            self.list(cutoff).await?;
            self.take_put_off();
        }
        if self.division.is_none()
            && let Strategy::Finished { is_clean } = self.strategy
        {
            let end = self.end_scan(cutoff, is_clean).await?;
            return Ok(self.end_phase(end));
        }
        let rows = self.size.rows();
        let (candidates, position) = match (&self.division, &self.strategy) {
            (Some(divided), _) => (divided.parts.part(), None),
            (None, Strategy::Candidates(_) | Strategy::Archived(_)) => (self.strategy.next(rows), None),
            (None, strategy) => (None, strategy.next(rows)),
        };
        // Also those that were put off, when their list is done.
        let archived = candidates.and_then(Lists::of);
        let lists = archived.as_ref();
        let values = [
            ("cutoff", Value::Text(cutoff)),
            ("max_rows", Value::Int(rows.into())),
            (
                "candidates",
                lists.map(|lists| lists.rows.as_str()).or(candidates).into(),
            ),
            ("versions", lists.map(|lists| lists.versions.as_str()).into()),
            ("ids", lists.map(|lists| lists.ids.as_str()).into()),
            ("position", position.into()),
        ];
        let sql = self.bind(self.phase().step, &values);
        let stayed = self.begin_archived();
        self.in_doubt = true;
        let result: Result<Step, _> = self.database.transact_within(self.batch_timeout, "", &sql).await;
        // An error of the server says that nothing was committed, a lost connection nothing.
        self.in_doubt = result.as_ref().is_err_and(|error| error.fault() == Fault::Lost);
        if !self.in_doubt {
            self.keep_archived(stayed || result.as_ref().is_ok_and(|step| step.affected > 0));
        }
        let step = result?;
        self.record.add(&step);
        if step.skipped {
            return Ok(Some(End::Skipped));
        }
        self.streak.end();
        match &mut self.division {
            Some(divided) => divided.succeed(step.affected),
            None => self.strategy.advance(&step, rows),
        }
        Ok(None)
    }

    /// Lists candidates where all of the last list are done.
    async fn list(&mut self, cutoff: &str) -> Result<(), QueryError> {
        let candidates = self.phase().candidates;
        while let (Strategy::Candidates(list), Some(sql)) = (&mut self.strategy, candidates)
            && list.is_done()
        {
            let place = list.last_listed().to_owned();
            let values = [("cutoff", Value::Text(cutoff)), ("last_listed", Value::Text(&place))];
            let next = self.database.transact("", &self.bind(sql, &values)).await?;
            self.strategy.continue_with(next);
        }
        Ok(())
    }
}
