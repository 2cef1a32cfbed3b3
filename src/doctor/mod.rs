//! What may go wrong that neither status nor verify says. One file per check: its judgement and its test, its SQL beside
//! it. [`examine`] has their list.

mod backdated;
mod client_clocks;
mod clock;
mod connection;
mod dead_rows;
mod foreign_keys;
mod grants;
mod idle;
mod implausible_end;
mod implausible_times;
mod inactive;
mod indexes;
mod jobs;
mod old_transactions;
mod past_retention;
mod period;
mod plan;
mod realtime;
mod replica_identity;
mod resumed;
mod role;
mod scene;
mod schedule;
mod schema;
mod server;
mod table;
mod tls;
mod trigger_functions;
mod workload;

use std::pin::Pin;

use serde::Serialize;

use crate::database::Database;
use crate::failure::Failure;
use crate::maintenance::{ANONYMIZE, CLEANUP, END_INACTIVE};
use crate::output::count;
use crate::schema::Team;
pub(crate) use jobs::overdue_by_index;
pub(crate) use plan::Asked;
use scene::{Count, Scene};
pub(crate) use workload::{Due, Scheduled, Workload, workload};

/// A check's line: its name in the list, and what it found.
#[derive(Serialize)]
pub(crate) struct Line {
    pub(crate) check: &'static str,
    #[serde(flatten)]
    pub(crate) finding: Finding,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Ok,
    Warning,
    Problem,
}

/// What a check returns: no finding where there is nothing to judge, a failure where it could not look.
type Answer = Result<Option<Finding>, Failure>;

/// A check under its name.
type Listed<'a> = (&'static str, Pin<Box<dyn Future<Output = Answer> + 'a>>);

fn listed<'a>(name: &'static str, check: impl Future<Output = Answer> + 'a) -> Listed<'a> {
    (name, Box::pin(check))
}

/// Runs all checks, in the order of their lines. A check that fails is a warning in its own line.
///
/// # Errors
/// The first query failed, or the connection ended.
pub(crate) async fn examine(database: &Database, asked: Asked, team: &Team) -> Result<Vec<Line>, Failure> {
    let scene = &Scene::read(database, asked).await?;
    let checks = [
        listed("connection", connection::check(scene)),
        listed("tls", tls::check(scene)),
        listed("server", server::check(scene)),
        listed("clock", clock::check(scene)),
        listed("role", role::check(scene)),
        listed("grants", grants::check(scene)),
        listed("table", table::check(scene)),
        listed("end-inactive-job", jobs::check(scene, &END_INACTIVE)),
        listed("cleanup-job", jobs::check(scene, &CLEANUP)),
        listed("anonymize-job", jobs::check(scene, &ANONYMIZE)),
        listed("inactive", inactive::check(scene)),
        listed("idle", idle::check(scene)),
        listed("past-retention", past_retention::check(scene)),
        listed("implausible-end", implausible_end::check(scene)),
        listed("backdated", backdated::check(scene)),
        listed("implausible-times", implausible_times::check(scene)),
        listed("client-clocks", client_clocks::check(scene)),
        listed("resumed", resumed::check(scene)),
        listed("dead-rows", dead_rows::check(scene)),
        listed("indexes", indexes::check(scene)),
        listed("old-transactions", old_transactions::check(scene)),
        listed("realtime", realtime::check(scene)),
        listed("replica-identity", replica_identity::check(scene)),
        listed("foreign-keys", foreign_keys::check(scene)),
        listed("trigger-functions", trigger_functions::check(scene)),
        listed("schedule", schedule::check(scene)),
        listed("schema", schema::check(scene, team)),
    ];
    let mut lines = Vec::new();
    for (check, running) in checks {
        let finding = match running.await {
            Err(failure) if database.is_closed() => return Err(failure),
            Err(failure) => Some(failed(&failure)),
            Ok(finding) => finding,
        };
        lines.extend(finding.map(|finding| Line { check, finding }));
    }
    Ok(lines)
}

fn failed(failure: &Failure) -> Finding {
    Finding {
        level: Level::Warning,
        message: failure.to_string(),
        hint: failure.get_hint().map(ToOwned::to_owned),
    }
}

fn ok(message: impl Into<String>) -> Finding {
    Finding {
        level: Level::Ok,
        message: message.into(),
        hint: None,
    }
}

fn warning(message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding {
        level: Level::Warning,
        message: message.into(),
        hint: Some(hint.into()),
    }
}

fn problem(message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding {
        level: Level::Problem,
        message: message.into(),
        hint: Some(hint.into()),
    }
}

fn not_migrated() -> Finding {
    warning("not counted: the database is not migrated", "run sessctl migrate")
}

/// The finding of a check that counts sessions which should not be there. `which` is in the plural: "sessions that …".
fn counted(found: Count, which: &str, hint: impl Into<String>) -> Finding {
    match found {
        Count {
            number: 0,
            is_estimate: false,
        } => ok("none"),
        Count { number: 0, .. } => ok("none in a sample of the table"),
        Count {
            number: 1,
            is_estimate: false,
        } => warning(format!("1 {}", which.replacen("sessions", "session", 1)), hint),
        Count { number, is_estimate } => {
            let about = if is_estimate { "~" } else { "" };
            warning(format!("{about}{} {which}", count(number)), hint)
        }
    }
}

#[cfg(test)]
fn exactly(number: u64) -> Count {
    Count {
        number,
        is_estimate: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_marked() {
        let about = |number| Count {
            number,
            is_estimate: true,
        };
        assert_eq!(counted(about(1_200), "sessions", "").message, "~1,200 sessions");
        assert_eq!(counted(about(1), "sessions", "").message, "~1 sessions");
        assert_eq!(counted(about(0), "sessions", ""), ok("none in a sample of the table"));
        assert_eq!(counted(exactly(1), "sessions", "").message, "1 session");
    }
}
