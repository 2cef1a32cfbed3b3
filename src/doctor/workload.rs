//! What is due now, and when pg_cron runs each job next: what `status` shows besides the record. Each part stands for itself, and
//! is absent where it can't be read.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

use super::period::next_run;
use super::plan::{Asked, CronJob};
use super::scene::{ByIndex, Count, Scene};
use crate::database::{Database, FILTERED, Value};
use crate::failure::Failure;
use crate::maintenance::{CLEANUP, END_INACTIVE, JOBS, JobSpec, JobState};

/// The state of maintenance.
#[derive(Default)]
pub(crate) struct Workload {
    /// Absent where the record of runs can't be read.
    pub(crate) jobs: Option<Vec<JobState>>,
    /// Of the jobs that this database uses. Absent where sessions can't be counted.
    pub(crate) due: Option<Vec<Due>>,
    /// Absent where pg_cron's jobs can't be seen.
    pub(crate) schedules: Option<Vec<Scheduled>>,
    /// Why something is absent that should be there.
    pub(crate) failures: Vec<String>,
}

/// How many sessions are due for a job. Part of the JSON contract of `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Due {
    pub(crate) job: &'static str,
    /// Minutes or days that they are counted by.
    pub(crate) threshold: i32,
    /// Absent where they could not be counted in time.
    pub(crate) sessions: Option<u64>,
    /// Whether that number comes from a sample of the table.
    pub(crate) estimate: bool,
}

/// A job of pg_cron in this database. Part of the JSON contract of `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Scheduled {
    pub(crate) job: &'static str,
    pub(crate) schedule: String,
    pub(crate) username: String,
    pub(crate) active: bool,
    /// Absent where it is switched off, where pg_cron does not run, or where the schedule is never due.
    pub(crate) next_run_at: Option<DateTime<Utc>>,
}

/// Reads it, in a few short queries: none reads the whole of a large table.
///
/// # Errors
/// The connection ended.
pub(crate) async fn workload(database: &Database) -> Result<Workload, Failure> {
    let mut scene = match Scene::read(database, Asked::default()).await {
        Ok(scene) => scene,
        Err(failure) if database.is_closed() => return Err(failure),
        Err(failure) => {
            return Ok(Workload {
                failures: vec![failure.to_string()],
                ..Workload::default()
            });
        }
    };
    let mut workload = Workload::default();
    workload
        .failures
        .extend(scene.unread.take().map(|finding| finding.message));
    workload.due = due(&scene, &mut workload.failures).await?;
    match schedules(&scene, &mut workload.failures).await {
        Ok(schedules) => workload.schedules = schedules,
        Err(failure) if database.is_closed() => return Err(failure),
        Err(failure) => workload.failures.push(format!("can't read pg_cron's jobs: {failure}")),
    }
    workload.jobs = scene.plan.states.take();
    Ok(workload)
}

async fn due(scene: &Scene<'_>, failures: &mut Vec<String>) -> Result<Option<Vec<Due>>, Failure> {
    if !scene.can_count() || !scene.objects.has_views {
        return Ok(None);
    }
    if scene.ask(include_str!("filtered.sql")).await.unwrap_or_default() {
        failures.push(FILTERED.into());
    }
    let mut list = Vec::new();
    for job in JOBS.iter().filter(|job| scene.plan.is_expected(job)) {
        let threshold = scene.plan.threshold(job);
        let counted = match count(scene, job, threshold.into()).await {
            Ok(counted) => Some(counted),
            Err(failure) if scene.database.is_closed() => return Err(failure),
            Err(failure) => {
                failures.push(format!(
                    "can't count the sessions that are due for {}: {failure}",
                    job.name
                ));
                None
            }
        };
        list.push(Due {
            job: job.name,
            threshold,
            sessions: counted.map(|counted| counted.number),
            estimate: counted.is_some_and(|counted| counted.is_estimate),
        });
    }
    Ok(Some(list))
}

async fn count(scene: &Scene<'_>, job: &JobSpec, threshold: i64) -> Result<Count, Failure> {
    let minutes = [("minutes", Value::Int(threshold)), ("slack", Value::Int(0))];
    let days = [("days", Value::Int(threshold)), ("slack", Value::Int(0))];
    match job.name {
        name if name == END_INACTIVE.name => {
            let active = scene
                .number(include_str!("inactive.sql"), ByIndex::All, &minutes)
                .await?;
            if !scene.plan.includes_idle() {
                return Ok(active);
            }
            let idle = scene.number(include_str!("idle.sql"), ByIndex::All, &minutes).await?;
            Ok(Count {
                number: active.number + idle.number,
                is_estimate: active.is_estimate || idle.is_estimate,
            })
        }
        name if name == CLEANUP.name => {
            let sql = include_str!("past_retention.sql");
            scene.number(sql, ByIndex::All, &days).await
        }
        _ => {
            let removes = scene.plan.removal().removes();
            let values = [("days", Value::Int(threshold)), ("removes", Value::Text(&removes))];
            scene.number(include_str!("personal.sql"), ByIndex::All, &values).await
        }
    }
}

/// The clock that pg_cron goes by.
#[derive(Deserialize)]
struct Clock {
    has_scheduler: bool,
    /// By its time zone.
    now: NaiveDateTime,
}

async fn schedules(scene: &Scene<'_>, failures: &mut Vec<String>) -> Result<Option<Vec<Scheduled>>, Failure> {
    match &scene.objects.pg_cron {
        None => return Ok(Some(Vec::new())),
        Some(pg_cron) if !pg_cron.has_readable_jobs => return Ok(None),
        Some(_) => {}
    }
    let here: Vec<(&JobSpec, &CronJob)> = JOBS
        .iter()
        .flat_map(|job| scene.plan.cron_jobs.iter().map(move |cron_job| (*job, cron_job)))
        .filter(|(job, cron_job)| cron_job.is_of(job) && cron_job.is_here)
        .collect();
    if here.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let clock: Clock = scene.ask(include_str!("cron_clock.sql")).await?;
    if !clock.has_scheduler && here.iter().any(|(_, job)| job.active) {
        failures.push("the scheduler process of pg_cron is not running, so no job starts".into());
    }
    let next: Vec<Option<NaiveDateTime>> = here
        .iter()
        .map(|(_, job)| next_run(&job.schedule, clock.now).filter(|_| job.active && clock.has_scheduler))
        .collect();
    let local: Vec<String> = next
        .iter()
        .map(|time| time.map_or_else(String::new, |time| time.format("%F %T").to_string()))
        .collect();
    let local: Vec<&str> = local.iter().map(String::as_str).collect();
    let times: Vec<Option<DateTime<Utc>>> = scene.ask_about(include_str!("cron_times.sql"), &local).await?;
    let list = here.iter().zip(times).map(|((job, cron_job), next_run_at)| Scheduled {
        job: job.name,
        schedule: cron_job.schedule.clone(),
        username: cron_job.username.clone(),
        active: cron_job.active,
        next_run_at,
    });
    Ok(Some(list.collect()))
}
