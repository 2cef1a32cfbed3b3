//! Whether pg_cron runs sessctl's jobs, here, once each, and without errors. When they last did their work is in the checks of
//! the jobs.

use serde::Deserialize;

use super::plan::CronJob;
use super::scene::Scene;
use super::{Answer, Finding, ok, problem, warning};
use crate::maintenance::{CLEANUP, CRON_WITHOUT_ARCHIVE};

#[derive(Default, Deserialize)]
struct Facts {
    has_scheduler: bool,
    runs: Vec<Run>,
}

/// The newest finished run of a job, and how many of the last fifty failed.
#[derive(Default, Deserialize)]
struct Run {
    job: i64,
    failed: bool,
    message: Option<String>,
    recent: u64,
    failed_recent: u64,
}

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    Ok(Some(match &scene.objects.pg_cron {
        None => ok("pg_cron is not installed; any cron can run sessctl"),
        Some(pg_cron) if !pg_cron.has_readable_jobs => {
            ok(format!("pg_cron {}; this role can't see its jobs", pg_cron.version))
        }
        Some(pg_cron) => {
            let facts: Facts = scene.ask_about_jobs(include_str!("schedule.sql")).await?;
            let plan = &scene.plan;
            let without_archive = plan.requires_archive() && plan.is_scheduled(&CLEANUP);
            match judge(&pg_cron.version, &plan.cron_jobs, &facts, &plan.install()) {
                // The cause of its failures.
                _ if without_archive => problem(CRON_WITHOUT_ARCHIVE.0, CRON_WITHOUT_ARCHIVE.1),
                finding => finding,
            }
        }
    }))
}

/// `install`: the command that schedules both jobs with the numbers in force.
fn judge(version: &str, jobs: &[CronJob], facts: &Facts, install: &str) -> Finding {
    if jobs.is_empty() {
        return ok(format!(
            "pg_cron {version}, no sessctl jobs; run {install} to create them"
        ));
    }
    let is_on = |job: &&CronJob| job.active;
    if jobs.iter().any(|job| job.active) && !facts.has_scheduler {
        return problem(
            format!("the scheduler process of pg_cron {version} is not running, so no job starts"),
            "restart the project in the dashboard (Settings, General)",
        );
    }
    if let Some(job) = jobs.iter().filter(is_on).find(|job| !job.is_here) {
        return problem(
            format!("{} runs in database {}, not in this one", job.name, job.database),
            format!("run {install}"),
        );
    }
    for (index, job) in jobs.iter().enumerate() {
        let same = |other: &&CronJob| other.name == job.name;
        if let Some(other) = jobs[index + 1..].iter().filter(is_on).find(same) {
            return problem(
                format!(
                    "{} is there twice, of users {} and {}",
                    job.name, job.username, other.username
                ),
                format!(
                    "remove one, as its user: select cron.unschedule({}) or select cron.unschedule({})",
                    job.id, other.id
                ),
            );
        }
    }
    let run_of = |job: &CronJob| facts.runs.iter().find(|run| run.job == job.id);
    for job in jobs.iter().filter(is_on) {
        if let Some(run) = run_of(job).filter(|run| run.failed) {
            return problem(failure(job, run), "run sessctl schedule list");
        }
    }
    if let Some(job) = jobs.iter().find(|job| !job.active) {
        return warning(format!("{} is switched off", job.name), format!("run {install}"));
    }
    let list: Vec<String> = jobs.iter().map(|job| described(job, run_of(job))).collect();
    ok(list.join(", "))
}

fn described(job: &CronJob, run: Option<&Run>) -> String {
    let failed = match run {
        Some(run) if run.failed_recent > 0 => {
            format!("; {} of the last {} runs failed", run.failed_recent, run.recent)
        }
        _ => String::new(),
    };
    format!("{} ({}{failed})", job.name, job.schedule)
}

fn failure(job: &CronJob, run: &Run) -> String {
    let message = run.message.as_deref().unwrap_or("no message");
    let first_line = message.lines().next().unwrap_or_default();
    let before = match run.failed_recent {
        0 | 1 => String::new(),
        failed => format!(" ({failed} of the last {} runs failed)", run.recent),
    };
    format!("the last run of {} failed: {first_line}{before}", job.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    const INSTALL: &str = "sessctl schedule install --minutes 60 --days 365";

    fn job(id: i64, name: &str) -> CronJob {
        CronJob {
            id,
            name: name.into(),
            schedule: "17 3 * * *".into(),
            active: true,
            is_here: true,
            database: "postgres".into(),
            username: "postgres".into(),
            ..CronJob::default()
        }
    }

    fn alive(runs: Vec<Run>) -> Facts {
        Facts {
            has_scheduler: true,
            runs,
        }
    }

    fn failed_run(job: i64) -> Run {
        Run {
            job,
            failed: true,
            message: Some("ERROR: out of luck\nCONTEXT: here".into()),
            recent: 50,
            failed_recent: 2,
        }
    }

    fn jobs() -> Vec<CronJob> {
        vec![job(1, "sessctl-cleanup"), job(2, "sessctl-end-inactive")]
    }

    #[test]
    fn jobs_that_run_are_listed() {
        assert_eq!(
            judge("1.6", &jobs(), &alive(vec![]), INSTALL),
            ok("sessctl-cleanup (17 3 * * *), sessctl-end-inactive (17 3 * * *)")
        );
        let finding = judge("1.6", &[], &Facts::default(), INSTALL);
        assert_eq!(finding.level, Level::Ok);
        assert!(finding.message.contains(INSTALL), "{}", finding.message);
    }

    #[test]
    fn without_a_scheduler_jobs_that_are_on_are_a_problem() {
        let finding = judge("1.6", &jobs(), &Facts::default(), INSTALL);
        assert_eq!(finding.level, Level::Problem);
        assert!(finding.message.contains("is not running"), "{}", finding.message);
    }

    #[test]
    fn the_newest_run_decides() {
        let failing = alive(vec![failed_run(2)]);
        let finding = judge("1.6", &jobs(), &failing, INSTALL);
        assert_eq!(finding.level, Level::Problem);
        assert_eq!(
            finding.message,
            "the last run of sessctl-end-inactive failed: ERROR: out of luck (2 of the last 50 runs failed)"
        );
        let recovered = Run {
            failed: false,
            ..failed_run(2)
        };
        assert_eq!(
            judge("1.6", &jobs(), &alive(vec![recovered]), INSTALL),
            ok("sessctl-cleanup (17 3 * * *), sessctl-end-inactive (17 3 * * *; 2 of the last 50 runs failed)")
        );
    }

    #[test]
    fn a_job_elsewhere_or_twice_is_named_with_its_database_or_users() {
        let mut elsewhere = jobs();
        elsewhere[1].is_here = false;
        elsewhere[1].database = "other".into();
        let finding = judge("1.6", &elsewhere, &alive(vec![]), INSTALL);
        assert_eq!(finding.level, Level::Problem);
        assert_eq!(
            finding.message,
            "sessctl-end-inactive runs in database other, not in this one"
        );
        assert_eq!(finding.hint, Some(format!("run {INSTALL}")));
        let mut twice = jobs();
        twice[1].name = "sessctl-cleanup".into();
        twice[1].username = "admin".into();
        let finding = judge("1.6", &twice, &alive(vec![]), INSTALL);
        assert_eq!(finding.level, Level::Problem);
        assert_eq!(
            finding.message,
            "sessctl-cleanup is there twice, of users postgres and admin"
        );
    }

    #[test]
    fn a_job_that_is_off_is_a_warning_with_the_numbers_in_force_and_its_failures_are_over() {
        let mut off = jobs();
        off[0].active = false;
        let finding = judge("1.6", &off, &alive(vec![failed_run(1)]), INSTALL);
        assert_eq!(
            (finding.level, finding.hint),
            (Level::Warning, Some(format!("run {INSTALL}")))
        );
    }
}
