//! What the jobs are expected to do: their thresholds, how often they run, and the command that installs them so.

use serde::Deserialize;

use super::period::longest_gap;
use crate::maintenance::{ANONYMIZE, CLEANUP, END_INACTIVE, JobSpec, JobState, Removal};

/// How often a job is expected where no schedule of it is known, in seconds.
const DAILY: i64 = 24 * 60 * 60;

/// What the caller of doctor says of the jobs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// The threshold of end-inactive, in minutes.
    pub(crate) minutes: Option<i32>,
    /// The threshold of cleanup, in days.
    pub(crate) days: Option<i32>,
    /// How often end-inactive runs, in seconds.
    pub(crate) expect_every: Option<i64>,
}

/// A job of pg_cron.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct CronJob {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) schedule: String,
    pub(super) active: bool,
    pub(super) database: String,
    pub(super) is_here: bool,
    pub(super) username: String,
    pub(super) command: String,
    /// The number in its command, where it has one.
    pub(super) threshold: Option<i32>,
    /// Whether its option is on: include_idle or keep_referenced.
    pub(super) option: bool,
}

impl CronJob {
    pub(super) fn is_of(&self, job: &JobSpec) -> bool {
        self.name == job.cron_job
    }
}

#[derive(Default)]
pub(super) struct Plan {
    pub(super) asked: Asked,
    pub(super) cron_jobs: Vec<CronJob>,
    /// Absent where the record of runs can't be read.
    pub(super) states: Option<Vec<JobState>>,
}

/// How often a job is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    /// The longest time between two runs, in seconds.
    pub(super) seconds: i64,
    /// Whether a schedule or the caller says so.
    pub(super) is_known: bool,
}

impl Plan {
    pub(super) fn state(&self, job: &JobSpec) -> Option<&JobState> {
        self.states.iter().flatten().find(|state| state.job == job.name)
    }

    fn cron_jobs_of(&self, job: &JobSpec) -> impl Iterator<Item = &CronJob> {
        self.cron_jobs.iter().filter(|cron_job| cron_job.is_of(job))
    }

    /// Whether pg_cron is to run the job.
    pub(super) fn is_scheduled(&self, job: &JobSpec) -> bool {
        self.cron_jobs_of(job).any(|cron_job| cron_job.active)
    }

    /// Minutes or days in force: those asked for, else those of pg_cron's job (the larger of two), else those of the last run.
    pub(super) fn threshold(&self, job: &JobSpec) -> i32 {
        let asked = match job.name {
            name if name == END_INACTIVE.name => self.asked.minutes,
            name if name == CLEANUP.name => self.asked.days,
            _ => None,
        };
        asked
            .or_else(|| self.cron_jobs_of(job).filter_map(|cron_job| cron_job.threshold).max())
            .or_else(|| self.state(job).and_then(|state| state.threshold))
            .unwrap_or(job.threshold)
    }

    /// Whether idle sessions are ended too: by a job of pg_cron, or by the last run.
    pub(super) fn includes_idle(&self) -> bool {
        self.cron_jobs_of(&END_INACTIVE)
            .any(|cron_job| cron_job.active && cron_job.option)
            || self.state(&END_INACTIVE).is_some_and(|state| state.include_idle)
    }

    /// Whether a cleanup without an archive deletes nothing.
    pub(super) fn requires_archive(&self) -> bool {
        self.state(&CLEANUP).is_some_and(|state| state.archive_required)
    }

    pub(super) fn period(&self, job: &JobSpec) -> Period {
        let asked = self.asked.expect_every.filter(|_| job.name == END_INACTIVE.name);
        let scheduled = || {
            let active = self.cron_jobs_of(job).filter(|cron_job| cron_job.active);
            active.filter_map(|cron_job| longest_gap(&cron_job.schedule)).min()
        };
        let known = asked.or_else(scheduled);
        Period {
            seconds: known.unwrap_or(DAILY),
            is_known: known.is_some(),
        }
    }

    /// How long a session may wait for its job before that is worth a word, in seconds: two runs where the job runs regularly.
    pub(super) fn slack(&self, job: &JobSpec) -> i64 {
        let period = self.period(job);
        if period.is_known { 2 * period.seconds } else { 0 }
    }

    /// The command of a job with the numbers in force.
    pub(super) fn command(&self, job: &JobSpec) -> String {
        let flag = if job.name == END_INACTIVE.name {
            "--minutes"
        } else {
            "--days"
        };
        let options = if job.name == END_INACTIVE.name && self.includes_idle() {
            " --include-idle".into()
        } else if job.name == ANONYMIZE.name {
            self.removal().flags("")
        } else {
            String::new()
        };
        let archive = match job.name == CLEANUP.name && self.requires_archive() {
            true => " --archive DIR",
            false => "",
        };
        format!("sessctl {} {flag} {}{options}{archive}", job.name, self.threshold(job))
    }

    /// What anonymize removes: by pg_cron's job, else by the last run.
    pub(super) fn removal(&self) -> Removal {
        let scheduled = self.cron_jobs_of(&ANONYMIZE).next();
        let scheduled = scheduled.and_then(|cron_job| ANONYMIZE.cron_arguments(&cron_job.command));
        let last = || Some(Removal::from(self.state(&ANONYMIZE)?.removes.as_ref()?));
        scheduled
            .map(|arguments| arguments.removal)
            .or_else(last)
            .unwrap_or_default()
    }

    /// Whether the job is one of this database's: anonymize is, where it has run or pg_cron has it.
    pub(super) fn is_expected(&self, job: &JobSpec) -> bool {
        job.name != ANONYMIZE.name
            || self.cron_jobs_of(job).next().is_some()
            || self.state(job).is_some_and(|state| state.last_run.is_some())
    }

    /// The command that has pg_cron run the jobs, with the numbers in force and the schedules that are there.
    pub(super) fn install(&self) -> String {
        let mut command = format!(
            "sessctl schedule install --minutes {} --days {}",
            self.threshold(&END_INACTIVE),
            self.threshold(&CLEANUP)
        );
        if self.includes_idle() || self.cron_jobs_of(&END_INACTIVE).any(|cron_job| cron_job.option) {
            command.push_str(" --include-idle");
        }
        if self.cron_jobs_of(&CLEANUP).any(|cron_job| cron_job.option) {
            command.push_str(" --keep-referenced");
        }
        for job in [&END_INACTIVE, &CLEANUP] {
            if let Some(cron_job) = self.cron_jobs_of(job).next()
                && cron_job.schedule != job.cron_schedule
            {
                command.push_str(&format!(" --{} '{}'", job.name, cron_job.schedule));
            }
        }
        if let Some(cron_job) = self.cron_jobs_of(&ANONYMIZE).next() {
            command.push_str(" --anonymize");
            if cron_job.schedule != ANONYMIZE.cron_schedule {
                command.push_str(&format!(" '{}'", cron_job.schedule));
            }
            let flags = self.removal().flags("anonymize-");
            command.push_str(&format!(" --anonymize-days {}{flags}", self.threshold(&ANONYMIZE)));
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron_job(job: &JobSpec, threshold: i32, schedule: &str) -> CronJob {
        CronJob {
            name: job.cron_job.into(),
            schedule: schedule.into(),
            active: true,
            threshold: Some(threshold),
            ..CronJob::default()
        }
    }

    fn state(job: &JobSpec, threshold: i32) -> JobState {
        JobState {
            job: job.name.into(),
            threshold: Some(threshold),
            include_idle: false,
            archive_required: false,
            removes: None,
            last_run: None,
            last_success: None,
        }
    }

    #[test]
    fn thresholds_are_those_asked_for_else_of_pg_cron_else_of_the_last_run() {
        let mut plan = Plan::default();
        assert_eq!((plan.threshold(&END_INACTIVE), plan.threshold(&CLEANUP)), (60, 90));
        plan.states = Some(vec![state(&END_INACTIVE, 30), state(&CLEANUP, 400)]);
        assert_eq!((plan.threshold(&END_INACTIVE), plan.threshold(&CLEANUP)), (30, 400));
        plan.cron_jobs = vec![
            cron_job(&CLEANUP, 200, "17 * * * *"),
            cron_job(&CLEANUP, 365, "17 * * * *"),
        ];
        assert_eq!((plan.threshold(&END_INACTIVE), plan.threshold(&CLEANUP)), (30, 365));
        assert_eq!(plan.command(&CLEANUP), "sessctl cleanup --days 365");
        assert_eq!(plan.install(), "sessctl schedule install --minutes 30 --days 365");
        plan.asked = Asked {
            minutes: Some(15),
            days: Some(7),
            expect_every: None,
        };
        assert_eq!(plan.install(), "sessctl schedule install --minutes 15 --days 7");
        plan.states = Some(vec![JobState {
            archive_required: true,
            ..state(&CLEANUP, 400)
        }]);
        assert_eq!(plan.command(&CLEANUP), "sessctl cleanup --days 7 --archive DIR");
        assert_eq!(plan.command(&END_INACTIVE), "sessctl end-inactive --minutes 15");
    }

    #[test]
    fn a_schedule_that_is_there_stays_in_the_command() {
        let plan = Plan {
            cron_jobs: vec![cron_job(&END_INACTIVE, 60, "*/10 * * * *")],
            ..Plan::default()
        };
        assert_eq!(
            plan.install(),
            "sessctl schedule install --minutes 60 --days 90 --end-inactive '*/10 * * * *'"
        );
    }

    #[test]
    fn idle_sessions_stay_included_by_pg_cron_or_by_the_last_run() {
        let mut plan = Plan::default();
        assert!(!plan.includes_idle());
        plan.cron_jobs = vec![CronJob {
            option: true,
            ..cron_job(&END_INACTIVE, 60, "*/5 * * * *")
        }];
        assert_eq!(
            plan.command(&END_INACTIVE),
            "sessctl end-inactive --minutes 60 --include-idle"
        );
        assert_eq!(
            plan.install(),
            "sessctl schedule install --minutes 60 --days 90 --include-idle"
        );
        plan.cron_jobs[0].active = false;
        assert!(!plan.includes_idle());
        plan.states = Some(vec![JobState {
            include_idle: true,
            ..state(&END_INACTIVE, 60)
        }]);
        assert!(plan.includes_idle());
        assert_eq!(plan.command(&CLEANUP), "sessctl cleanup --days 90");
    }

    #[test]
    fn options_that_are_on_stay_in_the_command() {
        let on = |job| CronJob {
            option: true,
            ..cron_job(job, 90, job.cron_schedule)
        };
        let plan = Plan {
            cron_jobs: vec![on(&CLEANUP), on(&END_INACTIVE)],
            ..Plan::default()
        };
        assert_eq!(
            plan.install(),
            "sessctl schedule install --minutes 90 --days 90 --include-idle --keep-referenced"
        );
    }

    #[test]
    fn anonymize_is_named_where_it_is_used_with_what_it_removes() {
        let mut plan = Plan::default();
        assert!(!plan.is_expected(&ANONYMIZE) && plan.is_expected(&CLEANUP));
        plan.asked.days = Some(400);
        assert_eq!(plan.command(&ANONYMIZE), "sessctl anonymize --days 30");
        plan.cron_jobs = vec![CronJob {
            command: "call sessctl.run_anonymize(7, ip => 'truncate', keep => '{location}')".into(),
            ..cron_job(&ANONYMIZE, 7, "0 4 * * *")
        }];
        assert!(plan.is_expected(&ANONYMIZE));
        assert_eq!(
            plan.command(&ANONYMIZE),
            "sessctl anonymize --days 7 --ip truncate --keep location"
        );
        assert_eq!(
            plan.install(),
            "sessctl schedule install --minutes 60 --days 400 --anonymize '0 4 * * *' --anonymize-days 7 \
             --anonymize-ip truncate --anonymize-keep location"
        );
    }

    #[test]
    fn a_period_is_that_of_the_flag_or_the_schedule_and_else_a_day_which_allows_no_slack() {
        let mut plan = Plan::default();
        let daily = Period {
            seconds: 86_400,
            is_known: false,
        };
        assert_eq!((plan.period(&CLEANUP), plan.slack(&CLEANUP)), (daily, 0));
        plan.cron_jobs = vec![
            cron_job(&CLEANUP, 90, "17 * * * *"),
            cron_job(&END_INACTIVE, 60, "*/5 * * * *"),
        ];
        assert_eq!((plan.slack(&CLEANUP), plan.slack(&END_INACTIVE)), (7_200, 600));
        plan.asked.expect_every = Some(60);
        assert_eq!((plan.slack(&CLEANUP), plan.slack(&END_INACTIVE)), (7_200, 120));
        plan.cron_jobs[0].active = false;
        assert_eq!(plan.period(&CLEANUP), daily);
    }
}
