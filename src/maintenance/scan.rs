//! What a scan can't do: slices that are divided until the rows that fail are alone, and what is left when the scan has ended.

use serde::Deserialize;
use tokio::time::sleep;

use super::division::{Division, Part};
use super::run::{End, Run};
use super::strategy::{Candidates, Step, Strategy};
use crate::database::{QueryError, Value, bind};
use crate::failure::Failure;

/// Scans in a row that do nothing, although rows are due that nobody holds, before what prevents the work is blamed.
const IDLE_SCANS: u32 = 3;

/// Why rows were not tried: see [`Streak`](super::division::Streak).
const NOT_TRIED: &str = "not tried, after many failures among the sessions beside them";

/// A slice that is being divided.
pub(super) struct Divided {
    pub(super) parts: Division,
    /// The size that the batch had which failed.
    max_rows: i32,
    /// What the slice as a whole says: how many were done, and where the next one begins. Absent for the rows that were put off.
    step: Option<Step>,
}

impl Divided {
    /// A part was committed.
    pub(super) fn succeed(&mut self, affected: u64) {
        self.parts.succeed();
        if let Some(step) = &mut self.step {
            step.affected += affected;
        }
    }
}

/// A slice that must be divided.
#[derive(Deserialize)]
struct Slice {
    rows: String,
    next_position: Option<String>,
}

/// What a scan leaves that is due.
#[derive(Deserialize)]
struct Leftovers {
    /// Held by other transactions.
    locked: u64,
    /// Held by nobody.
    free: u64,
    /// Kept by a foreign key.
    #[serde(default)]
    kept: u64,
    kept_by: Option<String>,
    prevented_by: Option<String>,
}

impl Run<'_> {
    /// Begins to divide the slice whose batch failed because of some of its rows, or divides on.
    pub(super) async fn divide(&mut self, cutoff: &str, error: &QueryError) -> Result<(), Failure> {
        let Some(divided) = &mut self.division else {
            let max_rows = self.size.rows();
            let (rows, step) = match self.phase().slice.filter(|_| !self.deletes_archived()) {
                None => (
                    self.strategy.next(max_rows).unwrap_or_default().to_owned(),
                    Step::default(),
                ),
                Some(sql) => {
                    let values = [
                        ("cutoff", Value::Text(cutoff)),
                        ("max_rows", Value::Int(max_rows.into())),
                        ("position", self.strategy.next(max_rows).into()),
                    ];
                    let slice: Result<Slice, _> = self.database.transact("", &self.bind(sql, &values)).await;
                    match slice {
                        Ok(slice) => (slice.rows, Step::of_slice(slice.next_position)),
                        Err(error) => return Err(self.database.explain(error, &self.failed()).await),
                    }
                }
            };
            self.division = Some(Divided {
                parts: Division::of(&rows),
                max_rows,
                step: Some(step),
            });
            // Where the first batch fails there is no record yet: should all parts fail, the run has one nevertheless.
            return match self.fence(cutoff).await {
                Ok(()) => Ok(()),
                Err(error) => Err(self.database.explain(error, &self.failed()).await),
            };
        };
        let Part::Row(row) = divided.parts.fail() else {
            return Ok(());
        };
        let put_off = self.streak.fail(&mut divided.parts);
        if let Some(step) = &mut divided.step {
            step.set_aside += 1 + put_off;
        }
        if put_off > 0 {
            // They are deleted later, when their part is no longer the one at work.
            self.keep_archived(true);
        }
        if self.known.insert(row.clone()) {
            let place = row.split(':').next().unwrap_or_default();
            let sql = bind(include_str!("failing_session.sql"), &[("row", Value::Text(place))]);
            let session = self.database.transact("", &sql).await.unwrap_or_default();
            self.unable.add(error.reason(), session);
            if let Some(hint) = error.db_error().and_then(|db| db.hint()) {
                self.unable.hint.get_or_insert_with(|| hint.to_owned());
            }
            if error.code().is_some_and(|code| code.code() == "SC002") {
                self.unable.hint = self.database.who_holds().await.or(self.unable.hint.take());
            }
        }
        Ok(())
    }

    /// Goes on behind a slice that was divided to its end.
    pub(super) fn end_division(&mut self) {
        let is_over = |divided: &mut Divided| divided.parts.part().is_none();
        if let Some(Divided {
            max_rows,
            step: Some(step),
            ..
        }) = self.division.take_if(is_over)
        {
            self.strategy.advance(&step, max_rows);
        }
        self.take_put_off();
    }

    /// Begins with the rows that were put off, where the scan has met all others.
    pub(super) fn take_put_off(&mut self) {
        if self.division.is_none() && self.strategy.is_at_the_end() {
            self.division = self.streak.take_put_off().map(|parts| Divided {
                parts,
                max_rows: 0,
                step: None,
            });
        }
    }

    /// Counts the rows that were not tried among those that could not be done.
    pub(super) fn count_untried(&mut self) {
        self.unable.add_all(self.streak.untried(), NOT_TRIED.into());
        self.streak.restart();
    }

    /// Looks at what is left when a scan has ended. Another scan begins where this one did something and rows are still due that
    /// nobody holds: a table that was rewritten meanwhile has its rows elsewhere. What several scans do not reach, a trigger or rule
    /// prevents.
    pub(super) async fn end_scan(&mut self, cutoff: &str, is_clean: bool) -> Result<Option<End>, QueryError> {
        let failed = self.unable.rows_of_phase() + self.streak.untried();
        if is_clean && failed == 0 {
            return Ok(Some(End::Finished { left: None }));
        }
        let sql = self.bind(self.phase().leftovers, &[("cutoff", Value::Text(cutoff))]);
        let Some(left) = self.database.transact::<Option<Leftovers>>("", &sql).await? else {
            return Ok(Some(End::Finished { left: None }));
        };
        let mut free = left.free.saturating_sub(failed);
        // Others may have held them when their turn came.
        let is_idle = self.record.changed() == self.scan_began_at;
        self.idle_scans = if is_idle { self.idle_scans + 1 } else { 0 };
        if free > 0 && self.idle_scans < IDLE_SCANS {
            if is_idle {
                sleep(self.backoff.next().unwrap_or_default()).await;
            }
            self.restart();
            return Ok(None);
        }
        let mut locked = left.locked;
        if left.prevented_by.is_none() {
            // Nothing here can prevent the work without an error: others hold them again and again.
            locked += std::mem::take(&mut free);
        }
        self.unable.add_all(
            free,
            match &left.prevented_by {
                Some(by) => format!("{by} on user_sessions prevented their {}", self.phase().change),
                None => String::new(),
            },
        );
        self.count_untried();
        if !self.work.keep_referenced {
            self.unable.add_all(
                left.kept,
                format!("kept by {}", left.kept_by.as_deref().unwrap_or("a foreign key")),
            );
        }
        Ok(Some(End::Finished {
            left: (locked > 0).then_some(locked),
        }))
    }

    /// The next batch is the first of a scan: rows may be elsewhere.
    pub(super) fn restart(&mut self) {
        self.division = None;
        if self.deletes_archived() {
            // After a lost connection: the sessions stand in parts, and those that are gone are no longer met.
            return;
        }
        self.strategy = match self.phase().candidates {
            Some(_) => Strategy::Candidates(Candidates::default()),
            None => Strategy::TimeSlices(None),
        };
        self.streak.restart();
        self.scan_began_at = self.record.changed();
    }
}
