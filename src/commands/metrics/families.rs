//! The metrics' names, and what each says.

use std::collections::BTreeMap;

use super::measured::Measured;
use super::rows::{Job, Platform};
use crate::maintenance::ANONYMIZE;
use crate::output::{Family, Kind, Number, printable};

/// The label of all platforms after the first hundred.
const OTHERS: &str = "others";

/// One after the other; those that could not be measured are absent.
pub(super) fn families(measured: &Measured) -> Vec<Family> {
    let gauge = |name, help| Family::new(name, Kind::Gauge, help);
    let counter = |name, help| Family::new(name, Kind::Counter, help);
    let mut families = Vec::new();
    if let Some(sessions) = &measured.sessions {
        let by_platform = |number: fn(&Platform) -> u64| {
            let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
            for platform in &sessions.platforms {
                let name = platform.platform.as_deref().map_or_else(|| OTHERS.into(), printable);
                *numbers.entry(name).or_default() += number(platform);
            }
            numbers
                .into_iter()
                .map(|(name, number)| (name, Number::Whole(number)))
                .collect()
        };
        families.extend([
            gauge("sessctl_active_sessions", "Sessions of status active.").by("platform", by_platform(|p| p.active)),
            gauge("sessctl_idle_sessions", "Sessions of status idle.").by("platform", by_platform(|p| p.idle)),
            gauge(
                "sessctl_due_sessions",
                "Active sessions that end-inactive would end, by the minutes of its last run.",
            )
            .by("platform", by_platform(|p| p.due)),
        ]);
    }
    // Anonymize is one of the jobs where it is used.
    let is_used = |job: &str| {
        let state = measured.jobs.iter().find(|state| state.job == job);
        state.is_some_and(|state| state.job != ANONYMIZE.name || state.runs > 0)
    };
    let overdue = measured.overdue.iter().filter(|(job, _)| is_used(job));
    let overdue: BTreeMap<_, _> = overdue
        .map(|(job, seconds)| ((*job).to_owned(), Number::Whole(*seconds)))
        .collect();
    if !overdue.is_empty() {
        let help = "How long the oldest session has been due for the job, 0 if none is.";
        families.push(gauge("sessctl_oldest_overdue_seconds", help).by("job", overdue));
    }
    let by_job = |number: fn(&Job) -> Option<Number>| {
        let used = measured.jobs.iter().filter(|state| is_used(&state.job));
        used.filter_map(|state| Some((printable(&state.job), number(state)?)))
            .collect()
    };
    let jobs = [
        gauge(
            "sessctl_last_success_timestamp_seconds",
            "End of the last run that did all its work, 0 if there was none.",
        )
        .by("job", by_job(|job| Some(Number::Real(job.last_success.unwrap_or(0.0))))),
        gauge(
            "sessctl_last_failure_timestamp_seconds",
            "End of the last run that failed.",
        )
        .by("job", by_job(|job| job.last_failure.map(Number::Real))),
        counter("sessctl_runs_total", "Runs, whatever started them.")
            .by("job", by_job(|job| Some(Number::Whole(job.runs)))),
        counter("sessctl_failed_runs_total", "Runs that failed.")
            .by("job", by_job(|job| Some(Number::Whole(job.failed_runs)))),
        counter(
            "sessctl_sessions_done_total",
            "Sessions that runs ended, deleted or anonymized.",
        )
        .by("job", by_job(|job| Some(Number::Whole(job.done)))),
        counter(
            "sessctl_sessions_failed_total",
            "Sessions that a run could not do, counted by each run.",
        )
        .by("job", by_job(|job| Some(Number::Whole(job.failed)))),
    ];
    families.extend(jobs);
    if let Some(sizes) = &measured.sizes {
        let indexes = sizes.indexes.iter();
        let indexes = indexes.map(|index| (printable(&index.name), Number::Whole(index.bytes)));
        families.extend([
            gauge(
                "sessctl_table_size_bytes",
                "Size of public.user_sessions without its indexes.",
            )
            .of(Number::Whole(sizes.table_bytes)),
            gauge("sessctl_index_size_bytes", "Size of each of its indexes.").by("index", indexes.collect()),
        ]);
    }
    if let Some(table) = &measured.table {
        families.extend([
            gauge(
                "sessctl_live_rows",
                "Live rows of the table, as the statistics have them.",
            )
            .of(Number::Whole(table.live)),
            gauge(
                "sessctl_dead_rows",
                "Dead rows of the table, as the statistics have them.",
            )
            .of(Number::Whole(table.dead)),
        ]);
    }
    if let Some(is_up_to_date) = measured.is_up_to_date {
        let help = "1 if the schema is what this sessctl makes, 0 if migrations are pending or it differs.";
        families.push(gauge("sessctl_schema_up_to_date", help).of(Number::Whole(is_up_to_date.into())));
    }
    families
}
