//! `sessctl doctor`: what may go wrong that neither status nor verify says.

use std::io;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args as ClapArgs;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Context;
use crate::config::Target;
use crate::config::connection_string::SslMode;
use crate::failure::exit;
use crate::output::{Page, Report, Rows, Style, count, one_line};
use crate::schema::is_up_to_date;

/// A clock that differs by more than this from the server's makes ages hard to read.
const CLOCK_TOLERANCE: i64 = 5;

/// A transaction older than this keeps vacuum from its work, in seconds.
const OLD_TRANSACTION: i64 = 15 * 60;

/// Examine connection, rights, rows and surroundings; one line each, with what to do
///
/// Exits with 1 if a line is a problem.
#[derive(ClapArgs, Debug)]
pub struct Args {}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// It could not look.
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let database = context.connect("doctor").await?;
        let before = Utc::now();
        let found: Findings = database.ask(include_str!("doctor.sql"), &[], "doctor failed").await?;
        let skew = found.now.signed_duration_since(before).num_seconds();
        let target = database.target().clone();
        let in_step = is_up_to_date(&database).await;
        database.close().await;
        let mut lines = Vec::new();
        connection(&found, &target, &mut lines);
        server(&found, skew, &mut lines);
        role(&found, &mut lines);
        rows(&found, &mut lines);
        surroundings(&found, &mut lines);
        lines.push(match in_step {
            Ok(true) => ok("schema", "in step with this sessctl"),
            Ok(false) => problem("schema", "not in step with this sessctl", "run sessctl verify"),
            Err(failure) => warning("schema", failure.to_string(), failure.advice().unwrap_or_default()),
        });
        Ok(Box::new(Diagnosis {
            target: target.to_string(),
            lines,
        }))
    }
}

#[derive(Deserialize)]
struct Findings {
    now: DateTime<Utc>,
    server_version: String,
    server_version_num: i32,
    read_only: bool,
    tls: Option<bool>,
    tls_version: Option<String>,
    role: String,
    superuser: bool,
    bypasses_rls: bool,
    owns_table: Option<bool>,
    may_create: bool,
    table_exists: bool,
    filtered: Option<bool>,
    open_grants: bool,
    dead_rows: Option<u64>,
    live_rows: Option<u64>,
    publications: Vec<String>,
    oldest_transaction: Option<Transaction>,
    pg_cron: Option<String>,
    jobs: Option<Vec<Job>>,
    rows: Option<Counts>,
}

#[derive(Deserialize)]
struct Transaction {
    pid: i32,
    seconds: i64,
    state: Option<String>,
}

#[derive(Deserialize)]
struct Job {
    name: String,
    schedule: String,
    active: bool,
    failed_lately: u64,
    last_error: Option<String>,
}

#[derive(Deserialize)]
struct Counts {
    silent: u64,
    over: u64,
    impossible: u64,
    clocks: u64,
    resumed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warning,
    Problem,
}

#[derive(Serialize)]
struct Line {
    check: &'static str,
    level: Level,
    message: String,
    remedy: Option<String>,
}

fn ok(check: &'static str, message: impl Into<String>) -> Line {
    Line {
        check,
        level: Level::Ok,
        message: message.into(),
        remedy: None,
    }
}

fn warning(check: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Line {
    Line {
        check,
        level: Level::Warning,
        message: message.into(),
        remedy: Some(remedy.into()),
    }
}

fn problem(check: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Line {
    Line {
        check,
        level: Level::Problem,
        message: message.into(),
        remedy: Some(remedy.into()),
    }
}

fn connection(found: &Findings, target: &Target, lines: &mut Vec<Line>) {
    let (host, port) = target.addresses().next().unwrap_or_default();
    let is_pooler = host.ends_with(".pooler.supabase.com");
    let mode = match port {
        6543 => "transaction pooler",
        _ if is_pooler => "session pooler",
        _ if host.ends_with(".supabase.co") => "direct",
        _ => "direct, or a pooler of your own",
    };
    lines.push(ok("connection", mode));
    // Behind a pooler the server knows of the pooler's connection, not of this one.
    let encrypted = if is_pooler {
        target.tls.mode > SslMode::Prefer
    } else {
        found.tls.unwrap_or(false)
    };
    let version = found.tls_version.as_deref().filter(|_| !is_pooler).unwrap_or("TLS");
    let local = host.starts_with('/') || target.tls.mode <= SslMode::Prefer;
    lines.push(match (encrypted, target.tls.root.is_some()) {
        (true, true) => ok("tls", format!("{version}, the certificate verified ({})", target.tls.mode)),
        (true, false) => warning(
            "tls",
            format!("{version}, the certificate not verified ({})", target.tls.mode),
            "download the CA in the dashboard (Database Settings, SSL Configuration), then sslmode=verify-full and sslrootcert=PATH",
        ),
        (false, _) if local => ok("tls", "none; the connection is local or asked for without"),
        (false, _) => warning("tls", "none", "sslmode=require or better"),
    });
}

fn server(found: &Findings, skew: i64, lines: &mut Vec<Line>) {
    let version = format!(
        "PostgreSQL {}",
        found.server_version.split(' ').next().unwrap_or_default()
    );
    lines.push(if found.server_version_num < 150_000 {
        problem(
            "server",
            format!("{version}; 15 or newer is needed"),
            "upgrade the project's database",
        )
    } else if found.read_only {
        problem(
            "server",
            format!("{version}, takes no writes"),
            "use the primary, or free disk space and end the read-only mode",
        )
    } else {
        ok("server", version)
    });
    lines.push(if skew.abs() > CLOCK_TOLERANCE {
        warning(
            "clock",
            format!("{} s off from the server's", skew.abs()),
            "set this machine's clock; cutoffs are the server's either way",
        )
    } else {
        ok("clock", "agrees with the server's")
    });
}

fn role(found: &Findings, lines: &mut Vec<Line>) {
    let mut may = Vec::new();
    if found.superuser {
        may.push("superuser");
    }
    if found.bypasses_rls {
        may.push("bypasses row level security");
    }
    if found.owns_table == Some(true) {
        may.push("owns the table");
    }
    if found.may_create && found.owns_table != Some(false) {
        may.push("may migrate");
    }
    let text = match may.as_slice() {
        [] => found.role.clone(),
        rights => format!("{}: {}", found.role, rights.join(", ")),
    };
    lines.push(if found.filtered == Some(true) {
        problem(
            "role",
            format!("{text}; row level security hides sessions from it"),
            "use postgres, or a role with BYPASSRLS",
        )
    } else if found.table_exists && found.owns_table == Some(false) {
        warning(
            "role",
            format!("{text}; it can't migrate"),
            "use the table's owner for sessctl migrate",
        )
    } else {
        ok("role", text)
    });
    lines.push(ok(
        "grants",
        if found.open_grants {
            "open: new objects in public are readable over the API (projects made before 30 May 2026); ours are closed by name"
        } else {
            "closed: new objects in public are not readable over the API"
        },
    ));
}

fn rows(found: &Findings, lines: &mut Vec<Line>) {
    let Some(rows) = &found.rows else {
        lines.push(if !found.table_exists {
            problem("rows", "there is no table public.user_sessions", "run sessctl migrate")
        } else if found.filtered.is_none() {
            warning(
                "rows",
                "can't be read by this role",
                "use postgres, or grant select on public.user_sessions",
            )
        } else {
            problem(
                "rows",
                "not looked at: the table lacks columns that sessions have",
                "run sessctl migrate --dry-run: it says whether the table can be brought to the schema",
            )
        });
        return;
    };
    let checks = [
        (
            "silent",
            rows.silent,
            "sessions active without a sign of life for over an hour",
            "run sessctl end-inactive, and have cron or sessctl schedule run it",
        ),
        (
            "ended long ago",
            rows.over,
            "sessions that ended over 90 days ago",
            "run sessctl cleanup, and have cron or sessctl schedule run it",
        ),
        (
            "impossible times",
            rows.impossible,
            "sessions with times that can't be",
            "let clients write no time of their own; maintenance copes with them",
        ),
        (
            "client clocks",
            rows.clocks,
            "active sessions written long after the heartbeat that they tell",
            "let clients write now() of the server as last_heartbeat_at",
        ),
        (
            "went on",
            rows.resumed,
            "sessions with a heartbeat after they were ended",
            "let clients set status to active and ended_at to null when they come back; a larger --minutes ends fewer of them",
        ),
    ];
    for (check, number, what, remedy) in checks {
        let what = if number == 1 {
            what.replacen("sessions", "session", 1)
        } else {
            what.to_owned()
        };
        lines.push(match number {
            0 => ok(check, "none"),
            n => warning(check, format!("{} {what}", count(n)), remedy),
        });
    }
}

fn surroundings(found: &Findings, lines: &mut Vec<Line>) {
    let (dead, live) = (found.dead_rows.unwrap_or(0), found.live_rows.unwrap_or(0));
    lines.push(if dead > 10_000 && dead > live / 2 {
        warning(
            "dead rows",
            format!("{} beside {} live ones", count(dead), count(live)),
            "vacuum public.user_sessions; see what holds autovacuum back",
        )
    } else {
        ok("dead rows", count(dead))
    });
    lines.push(match &found.oldest_transaction {
        Some(t) if t.seconds > OLD_TRANSACTION => warning(
            "old transactions",
            format!(
                "process {} is in one for {} min ({})",
                t.pid,
                t.seconds / 60,
                t.state.as_deref().unwrap_or("unknown")
            ),
            format!(
                "it holds vacuum back; end it with: select pg_terminate_backend({})",
                t.pid
            ),
        ),
        _ => ok("old transactions", "none"),
    });
    lines.push(match found.publications.as_slice() {
        [] => ok("realtime", "the table is in no publication"),
        names => warning(
            "realtime",
            format!(
                "the table is in {}: a sweep or cleanup streams an event for each row",
                names.join(", ")
            ),
            "take it out unless clients listen to it",
        ),
    });
    lines.push(match (&found.pg_cron, &found.jobs) {
        (None, _) => ok("schedule", "pg_cron is not installed; cron elsewhere can call sessctl"),
        (Some(version), None) => ok("schedule", format!("pg_cron {version}; this role can't see its jobs")),
        (Some(version), Some(jobs)) if jobs.is_empty() => ok(
            "schedule",
            format!("pg_cron {version}, no job of sessctl's; sessctl schedule install makes them"),
        ),
        (Some(_), Some(jobs)) => schedule(jobs),
    });
}

fn schedule(jobs: &[Job]) -> Line {
    if let Some(job) = jobs.iter().find(|job| job.failed_lately > 0) {
        let error = job.last_error.as_deref().unwrap_or("no message");
        let times = match job.failed_lately {
            1 => "once".to_owned(),
            n => format!("{n} times"),
        };
        let first_line = error.lines().next().unwrap_or_default();
        let text = format!("{} failed {times} in the last day: {first_line}", job.name);
        return problem("schedule", text, "run sessctl schedule list");
    }
    if let Some(job) = jobs.iter().find(|job| !job.active) {
        return warning(
            "schedule",
            format!("{} is switched off", job.name),
            "run sessctl schedule install",
        );
    }
    let list: Vec<String> = jobs
        .iter()
        .map(|job| format!("{} ({})", job.name, job.schedule))
        .collect();
    ok("schedule", list.join(", "))
}

struct Diagnosis {
    target: String,
    lines: Vec<Line>,
}

impl Diagnosis {
    fn is_healthy(&self) -> bool {
        self.lines.iter().all(|line| line.level != Level::Problem)
    }
}

fn words(level: Level) -> (&'static str, Style) {
    match level {
        Level::Ok => ("ok", Style::Good),
        Level::Warning => ("warning", Style::Warning),
        Level::Problem => ("problem", Style::Bad),
    }
}

impl Report for Diagnosis {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        out.raw(&out.paint(Style::Bold, &self.target))?;
        for line in &self.lines {
            let (word, style) = words(line.level);
            let label = out.paint(style, &format!("{word:7}"));
            out.raw(&format!("{label}  {:16}  {}", line.check, one_line(&line.message)))?;
            if let Some(remedy) = &line.remedy {
                out.raw(&out.paint(Style::Dim, &format!("{:27}→ {remedy}", "")))?;
            }
        }
        Ok(())
    }

    fn json(&self) -> Value {
        json!({ "ok": self.is_healthy(), "target": self.target, "checks": self.lines })
    }

    fn csv(&self) -> Option<Rows> {
        let rows = self.lines.iter().map(|line| {
            let remedy = line.remedy.clone().unwrap_or_default();
            vec![
                words(line.level).0.into(),
                line.check.into(),
                line.message.clone(),
                remedy,
            ]
        });
        Some((vec!["level", "check", "message", "remedy"], rows.collect()))
    }

    fn code(&self) -> u8 {
        if self.is_healthy() { exit::DONE } else { exit::NO }
    }
}
