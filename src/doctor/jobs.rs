//! Whether a job is alive and keeps up, whatever runs it: when it last ran, how that run ended, and how long the oldest session
//! has been due for it.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::plan::{Period, Plan};
use super::scene::{Scene, by_rows_of_index, whole};
use super::{Answer, Finding, ok, problem, warning};
use crate::database::{Database, QueryError, Value, bind};
use crate::maintenance::{CLEANUP, END_INACTIVE, JobSpec, RunState};
use crate::output::{count, span};

struct Facts<'a> {
    now: DateTime<Utc>,
    /// The newest run that was no skipped one.
    last_run: Option<&'a RunState>,
    period: Period,
    /// For how many seconds the oldest session has been due, if one is.
    overdue: Option<i64>,
    /// The run that keeps others out, where one has for so long that sessions which are due may never be done.
    stuck: Option<Stuck>,
}

#[derive(Deserialize)]
struct Stuck {
    /// The server process that holds the job's lock.
    process: Option<i32>,
    seconds: i64,
}

pub(super) async fn check(scene: &Scene<'_>, job: &JobSpec) -> Answer {
    if let Some(unread) = &scene.unread {
        return Ok(Some(unread.clone()));
    }
    // Without a record there is nothing to judge; the checks of the schema and of the role say why there is none.
    let Some(state) = scene.plan.state(job) else {
        return Ok(None);
    };
    if !scene.plan.is_expected(job) {
        return Ok(None);
    }
    let is_run = |run: &&RunState| run.outcome != "skipped";
    let overdue = overdue(scene, job).await?;
    let facts = Facts {
        now: scene.objects.now,
        last_run: state.last_run.as_ref().filter(is_run).or(state.last_success.as_ref()),
        period: scene.plan.period(job),
        overdue,
        stuck: match overdue {
            Some(_) => stuck(scene, job).await?,
            None => None,
        },
    };
    Ok(Some(judge(job, &facts, &scene.plan)))
}

/// For how many seconds the oldest session has been due. Of a large table: of a sample, where no index has the answer.
async fn overdue(scene: &Scene<'_>, job: &JobSpec) -> Result<Option<i64>, crate::failure::Failure> {
    if !scene.can_count() || !scene.objects.has_views {
        return Ok(None);
    }
    if job.name == END_INACTIVE.name {
        let threshold = Value::Int(scene.plan.threshold(job).into());
        let sql = include_str!("oldest_inactive.sql");
        return scene.ask_of_rows(sql, &[("minutes", threshold)]).await;
    }
    match overdue_by_index(scene.database, job, scene.plan.threshold(job)).await {
        Ok(overdue) => Ok(overdue.flatten()),
        Err(error) => Err(scene.database.explain(error, "can't check").await),
    }
}

/// For how many seconds the oldest session has been due for cleanup or anonymize, if one is. Absent where no index has the answer.
///
/// # Errors
/// The server's, or the connection's.
pub(crate) async fn overdue_by_index(
    database: &Database,
    job: &JobSpec,
    days: i32,
) -> Result<Option<Option<i64>>, QueryError> {
    let sql = match job.name {
        name if name == CLEANUP.name => include_str!("oldest_past_retention.sql"),
        _ => include_str!("oldest_personal.sql"),
    };
    let sql = whole(sql, &[("days", Value::Int(days.into()))]);
    by_rows_of_index(database, &sql).await
}

/// Absent too where this role may not ask, or where the schema is an earlier one.
async fn stuck(scene: &Scene<'_>, job: &JobSpec) -> Result<Option<Stuck>, crate::failure::Failure> {
    let sql = bind(include_str!("stuck.sql"), &[("job", Value::Text(job.name))]);
    match scene.ask(&sql).await {
        Err(failure) if scene.database.is_closed() => Err(failure),
        answer => Ok(answer.unwrap_or(None)),
    }
}

fn judge(job: &JobSpec, facts: &Facts<'_>, plan: &Plan) -> Finding {
    let Period { seconds, is_known } = facts.period;
    let overdue = facts
        .overdue
        .filter(|overdue| *overdue > if is_known { 2 * seconds } else { 0 });
    let waits = match overdue {
        Some(overdue) => format!("; the oldest session has been due for {}", span(overdue)),
        None => String::new(),
    };
    let command = plan.command(job);
    let regularly = format!("have cron run {command}, or run {}", plan.install());
    if let Some(Stuck { process, seconds }) = facts.stuck {
        let message = format!(
            "a run has been running for {}, and keeps all others out{waits}",
            span(seconds)
        );
        return match process {
            Some(pid) => problem(
                format!("{message}; its server process is {pid}"),
                format!(
                    "see what it does with select * from pg_stat_activity where pid = {pid}; select pg_terminate_backend({pid}) \
                     ends it"
                ),
            ),
            None => warning(
                message,
                format!("let each run end in time: {command} --max-runtime 10m"),
            ),
        };
    }
    let Some(run) = facts.last_run else {
        return if overdue.is_none() {
            ok("has not run yet")
        } else {
            warning(format!("has not run yet{waits}"), regularly)
        };
    };
    let age = facts.now.signed_duration_since(run.started_at).num_seconds().max(0);
    let when = format!("{} ago ({})", span(age), run.source);
    match run.outcome.as_str() {
        "failed" => {
            let message = run.message.as_deref().unwrap_or("no message");
            let message = message.lines().next().unwrap_or_default();
            return problem(
                format!("the last run failed {when}: {message}{waits}"),
                format!("run {command}"),
            );
        }
        "running" => return ok(format!("running since {}{waits}", span(age))),
        _ => {}
    }
    if age > 2 * seconds {
        let every = every(seconds);
        let message = format!("the last run was {when}, and one is expected every {every}{waits}");
        return if is_known && plan.is_scheduled(job) {
            problem(message, "run sessctl schedule list: it shows what pg_cron ran")
        } else if is_known || overdue.is_some() {
            problem(message, regularly)
        } else {
            warning(
                message,
                format!("{regularly}; --expect-every says how often another scheduler does"),
            )
        };
    }
    match run.outcome.as_str() {
        "incomplete" => {
            let left = run
                .left
                .map_or(String::new(), |left| format!(" with {} left", count(left)));
            warning(
                format!("the last run met its limit {when}{left}{waits}"),
                format!("the next run goes on; if it meets its limit each time, run it more often, or once: {command}"),
            )
        }
        "interrupted" => warning(
            format!("the last run was interrupted {when}{waits}"),
            format!("run {command}"),
        ),
        "lost" => warning(
            format!("the last run stopped without an end {when}{waits}"),
            format!("run {command}"),
        ),
        _ if overdue.is_some_and(|overdue| overdue > age) => warning(
            format!("the last run was {when}{waits}"),
            format!("that run left it: run {command}, and sessctl verify if it stays"),
        ),
        _ => ok(format!("the last run was {when}")),
    }
}

/// A period, in one unit where it is one.
fn every(seconds: i64) -> String {
    match seconds {
        86_400 => "day".into(),
        3_600 => "hour".into(),
        60 => "minute".into(),
        seconds if seconds % 86_400 == 0 => format!("{} days", seconds / 86_400),
        seconds if seconds % 3_600 == 0 => format!("{} hours", seconds / 3_600),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::doctor::Level;

    const HOURLY: Period = Period {
        seconds: 3_600,
        is_known: true,
    };
    const UNKNOWN: Period = Period {
        seconds: 86_400,
        is_known: false,
    };

    fn run(outcome: &str, age: i64, now: DateTime<Utc>) -> RunState {
        RunState {
            source: "pg_cron".into(),
            role: "postgres".into(),
            started_at: now - TimeDelta::seconds(age),
            finished_at: None,
            outcome: outcome.into(),
            rows: 0,
            settled: 0,
            left: Some(900),
            message: Some("out of luck\nand more".into()),
        }
    }

    fn judged(outcome: &str, age: i64, period: Period, overdue: Option<i64>) -> (Level, String) {
        let now = Utc::now();
        let run = run(outcome, age, now);
        let facts = Facts {
            now,
            last_run: (outcome != "never").then_some(&run),
            period,
            overdue,
            stuck: None,
        };
        let finding = judge(&CLEANUP, &facts, &Plan::default());
        (finding.level, finding.message)
    }

    #[test]
    fn a_run_that_is_not_late_is_fine() {
        for (age, period) in [(0, HOURLY), (7_199, HOURLY), (90_000, UNKNOWN)] {
            assert_eq!(judged("done", age, period, None).0, Level::Ok, "{age}");
        }
        // What came due since waits for the next run.
        assert_eq!(judged("done", 3_000, HOURLY, Some(7_200)).0, Level::Ok);
        assert_eq!(judged("running", 90_000, HOURLY, None).0, Level::Ok);
    }

    #[test]
    fn a_late_run_is_a_problem_where_a_schedule_is_known_or_a_session_is_due() {
        let (level, message) = judged("done", 3 * 86_400, HOURLY, Some(2 * 86_400));
        assert_eq!(level, Level::Problem);
        assert_eq!(
            message,
            "the last run was 3 d 0 h ago (pg_cron), and one is expected every hour; the oldest session has been due for 2 d 0 h"
        );
        assert_eq!(judged("done", 7_201, HOURLY, None).0, Level::Problem);
        assert_eq!(judged("done", 3 * 86_400, UNKNOWN, Some(1)).0, Level::Problem);
        assert_eq!(judged("done", 3 * 86_400, UNKNOWN, None).0, Level::Warning);
    }

    #[test]
    fn the_outcome_of_the_last_run_counts() {
        let (level, message) = judged("incomplete", 60, HOURLY, None);
        assert_eq!(level, Level::Warning);
        assert_eq!(message, "the last run met its limit 1 min ago (pg_cron) with 900 left");
        let (level, message) = judged("failed", 60, HOURLY, None);
        assert_eq!(level, Level::Problem);
        assert_eq!(message, "the last run failed 1 min ago (pg_cron): out of luck");
        assert_eq!(judged("lost", 60, HOURLY, None).0, Level::Warning);
        assert_eq!(judged("interrupted", 60, HOURLY, None).0, Level::Warning);
    }

    #[test]
    fn a_session_that_was_due_before_a_run_that_is_done_is_a_warning() {
        assert_eq!(judged("done", 60, HOURLY, Some(86_400)).0, Level::Warning);
        assert_eq!(judged("done", 60, UNKNOWN, Some(61)).0, Level::Warning);
    }

    #[test]
    fn a_job_that_has_not_run_is_a_warning_once_a_session_is_due_for_it() {
        assert_eq!(judged("never", 0, HOURLY, None), (Level::Ok, "has not run yet".into()));
        assert_eq!(judged("never", 0, HOURLY, Some(3_600)).0, Level::Ok);
        assert_eq!(judged("never", 0, HOURLY, Some(7_201)).0, Level::Warning);
        assert_eq!(judged("never", 0, UNKNOWN, Some(1)).0, Level::Warning);
    }

    #[test]
    fn periods_read_in_one_unit() {
        for (seconds, words) in [
            (30, "30 s"),
            (60, "minute"),
            (600, "10 min"),
            (3_600, "hour"),
            (7_200, "2 hours"),
            (172_800, "2 days"),
        ] {
            assert_eq!(every(seconds), words);
        }
    }
}
