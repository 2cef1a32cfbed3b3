//! Whether the jobs that pg_cron runs for sessctl are on, and succeed.

use serde::Deserialize;

use super::{Answer, Finding, Scene, ok, problem, warning};

#[derive(Default, Deserialize)]
struct Job {
    name: String,
    schedule: String,
    active: bool,
    failed_lately: u64,
    last_error: Option<String>,
}

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    Ok(Some(match &scene.objects.pg_cron {
        None => ok("pg_cron is not installed; any cron can run sessctl"),
        Some(pg_cron) if !pg_cron.has_readable_jobs => {
            ok(format!("pg_cron {}; this role can't see its jobs", pg_cron.version))
        }
        Some(pg_cron) => {
            let jobs: Vec<Job> = scene.ask(include_str!("schedule.sql")).await?;
            judge(&pg_cron.version, &jobs)
        }
    }))
}

fn judge(version: &str, jobs: &[Job]) -> Finding {
    if jobs.is_empty() {
        return ok(format!(
            "pg_cron {version}, no sessctl jobs; run sessctl schedule install to create them"
        ));
    }
    if let Some(job) = jobs.iter().find(|job| job.failed_lately > 0) {
        return problem(failures(job), "run sessctl schedule list");
    }
    if let Some(job) = jobs.iter().find(|job| !job.active) {
        return warning(format!("{} is switched off", job.name), "run sessctl schedule install");
    }
    let list: Vec<String> = jobs
        .iter()
        .map(|job| format!("{} ({})", job.name, job.schedule))
        .collect();
    ok(list.join(", "))
}

fn failures(job: &Job) -> String {
    let error = job.last_error.as_deref().unwrap_or("no message");
    let first_line = error.lines().next().unwrap_or_default();
    let times = match job.failed_lately {
        1 => "once".to_owned(),
        n => format!("{n} times"),
    };
    format!("{} failed {times} in the last day: {first_line}", job.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    fn job(name: &str) -> Job {
        Job {
            name: name.into(),
            schedule: "17 3 * * *".into(),
            active: true,
            ..Job::default()
        }
    }

    #[test]
    fn jobs_that_run_are_listed() {
        let jobs = [job("sessctl-cleanup"), job("sessctl-end-inactive")];
        assert_eq!(
            judge("1.6", &jobs),
            ok("sessctl-cleanup (17 3 * * *), sessctl-end-inactive (17 3 * * *)")
        );
        assert_eq!(judge("1.6", &[]).level, Level::Ok);
    }

    #[test]
    fn a_failure_is_a_problem_before_a_job_that_is_off_is_a_warning() {
        let off = Job {
            active: false,
            ..job("sessctl-cleanup")
        };
        let failed = Job {
            failed_lately: 2,
            last_error: Some("ERROR: out of luck\nCONTEXT: here".into()),
            ..job("sessctl-end-inactive")
        };
        assert_eq!(
            judge("1.6", &[off, failed]).message,
            "sessctl-end-inactive failed 2 times in the last day: ERROR: out of luck"
        );
        let off = Job {
            active: false,
            ..job("sessctl-cleanup")
        };
        assert_eq!(judge("1.6", &[off]).level, Level::Warning);
    }
}
