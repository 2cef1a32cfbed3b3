//! The two phases of a run: ended sessions with an implausible ended_at are settled, then the job does its own work.

use super::run::{End, Run};
use super::{Phase, SETTLE};

impl Run<'_> {
    /// The statements of the phase that the run is in.
    pub(super) fn phase(&self) -> &'static Phase {
        if self.is_settling {
            &SETTLE
        } else {
            &self.work.job.sql.work
        }
    }

    /// What the end of a scan means for the run: after the settling, the job's own work begins; after that, the sessions that
    /// others have locked in either phase are left.
    pub(super) fn end_phase(&mut self, end: Option<End>) -> Option<End> {
        match end {
            Some(End::Finished { left }) if self.is_settling => {
                self.is_settling = false;
                self.left_unsettled = left.unwrap_or(0);
                self.unable.next_phase();
                self.known.clear();
                self.idle_scans = 0;
                self.restart();
                None
            }
            Some(End::Finished { left }) => {
                let left = left.unwrap_or(0) + self.left_unsettled;
                Some(End::Finished {
                    left: (left > 0).then_some(left),
                })
            }
            end => end,
        }
    }
}
