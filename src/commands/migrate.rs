//! `sessctl migrate`: brings a database to the schema of this binary.

use std::io;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args as ClapArgs;
use refinery::Migration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Context;
use crate::config::{duration, timeout};
use crate::database::Database;
use crate::failure::Failure;
use crate::migrations::{self, History, Patience};
use crate::output::{Json, Page, Report, Style, one_line};
use crate::schema::{Class, Facts, Found, compare, snapshot};

/// The oldest server this works on: security_invoker views came with it.
const OLDEST_SERVER: i32 = 150_000;

/// The script's policies; ours bear three of the names.
const SCRIPT_POLICIES: [&str; 4] = [
    "policy Users can view their own sessions",
    "policy Users can create their own sessions",
    "policy Users can update their own sessions",
    "policy Service role can manage all sessions",
];

/// Columns for which no value could be made up.
const CORE_COLUMNS: [&str; 3] = ["user_id", "session_id", "platform"];

/// Bring the database to this version's schema, fresh or made by hand
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// Print the SQL that is pending, and what it would take away; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Stop at this version
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(i32).range(1..))]
    target: Option<i32>,
    /// How long a statement may wait for a lock on a table, and so hold up all who come after it; it is tried some times
    #[arg(long, value_name = "TIME", value_parser = timeout, default_value = "200ms")]
    lock_timeout: Duration,
    /// How long to wait for another migrate
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    lock_wait: Duration,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// A database that can't be migrated, or a migration that failed.
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let database = context.connect_to_change("migrate").await?.without_statement_timeout();
        let cancel = database.canceller();
        let outcome = tokio::select! {
            outcome = self.migrate(&database, context) => outcome,
            () = context.stop.requested() => {
                // Without it the server would go on with the statement, for a client that is gone.
                cancel.cancel().await;
                return Err(Failure::interrupted(
                    "stopped: what was reported as applied stays, the one at work was rolled back, or its index is left to be built anew",
                ).hint("run sessctl migrate again to go on").into());
            }
        }?;
        database.close().await;
        Ok(outcome)
    }

    async fn migrate(&self, database: &Database, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let history = History::read(database).await?;
        if history.server_version < OLDEST_SERVER {
            return Err(Failure::new(format!(
                "the server is PostgreSQL {}, and sessctl needs 15 or newer",
                history.server_version / 10_000
            ))
            .hint("upgrade the project's database in the dashboard")
            .into());
        }
        let version = history.version();
        let mut pending = history.pending()?;
        if let Some(target) = self.target {
            let newest = migrations::all().last().map_or(0, Migration::version);
            if target > newest {
                return Err(Failure::usage(format!(
                    "there is no version {target}: this sessctl knows up to {newest}"
                ))
                .into());
            }
            pending.retain(|migration| migration.version() <= target);
        }
        if pending.is_empty() {
            return Ok(if self.dry_run {
                Box::new(Plan {
                    pending,
                    takes_away: Vec::new(),
                    version,
                })
            } else {
                Box::new(Outcome {
                    applied: Vec::new(),
                    version,
                })
            });
        }
        let Changes { takes_away, leaves } = preflight(database, &pending).await?;
        if self.dry_run {
            return Ok(Box::new(Plan {
                pending,
                takes_away,
                version,
            }));
        }
        for line in &takes_away {
            context.terminal.note(&format!("takes away {line}"));
        }
        for policy in &leaves {
            context.terminal.warn(&format!(
                "{} is not sessctl's and stays; sessctl verify shows what it lets pass",
                one_line(policy)
            ));
        }
        let patience = Patience {
            lock_timeout: self.lock_timeout,
            lock_wait: self.lock_wait,
        };
        let mut applied = Vec::new();
        for migration in &pending {
            let start = Instant::now();
            let label = format!("V{} {}", migration.version(), migration.name());
            if migrations::apply(database, migration, patience, context.terminal).await? {
                context
                    .terminal
                    .note(&format!("applied {label} ({})", milliseconds(start.elapsed())));
                applied.push((migration.version(), migration.name().to_owned()));
            } else {
                context
                    .terminal
                    .note(&format!("{label} was applied by another process"));
            }
        }
        let version = pending.last().map_or(version, Migration::version);
        Ok(Box::new(Outcome { applied, version }))
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

#[derive(Deserialize)]
struct Preflight {
    role: String,
    database: String,
    missing_roles: Vec<String>,
    auth_users: bool,
    auth_uid: bool,
    may_reference_users: bool,
    may_create_in_database: bool,
    may_create_in_public: bool,
    foreign_objects: Vec<ForeignObject>,
    strange_triggers: Vec<String>,
    taken_names: Vec<String>,
}

#[derive(Deserialize)]
struct ForeignObject {
    object: String,
    owner: String,
}

/// What becomes of what is there.
struct Changes {
    takes_away: Vec<String>,
    /// Policies of others.
    leaves: Vec<String>,
}

/// Looks whether the migrations can work here, and what they would do to what is there.
async fn preflight(database: &Database, pending: &[Migration]) -> Result<Changes, Failure> {
    let sql = include_str!("../migrations/preflight.sql");
    let look: Preflight = database.ask(sql, &[], "can't look at the database").await?;
    let mut missing = Vec::new();
    if !look.auth_users {
        missing.push("table auth.users".to_owned());
    }
    if !look.auth_uid {
        missing.push("function auth.uid()".to_owned());
    }
    missing.extend(look.missing_roles.iter().map(|role| format!("role {role}")));
    if !missing.is_empty() {
        return Err(Failure::new(format!(
            "this is not a Supabase database: it lacks {}",
            missing.join(", ")
        ))
        .hint(
            "check the connection string; to try sessctl without a project, run sessctl sandbox -- sessctl migrate",
        ));
    }
    let role = &look.role;
    let database_name = &look.database;
    let rights = [
        (
            look.may_create_in_database,
            format!("create schemas in database {database_name}"),
            format!("grant create on database \"{database_name}\" to \"{role}\""),
        ),
        (
            look.may_create_in_public,
            "create tables in schema public".into(),
            format!("grant create on schema public to \"{role}\""),
        ),
        (
            look.may_reference_users,
            "refer to auth.users by a foreign key".into(),
            format!("grant references on auth.users to \"{role}\""),
        ),
    ];
    if let Some((_, right, grant)) = rights.iter().find(|(may, _, _)| !may) {
        return Err(Failure::new(format!("role \"{role}\" may not {right}"))
            .hint(format!("connect as postgres, or have a superuser run: {grant};")));
    }
    if let Some(first) = look.foreign_objects.first() {
        let list: Vec<String> = look
            .foreign_objects
            .iter()
            .map(|o| format!("{} belongs to {}", o.object, o.owner))
            .collect();
        let hand_over: Vec<String> = look
            .foreign_objects
            .iter()
            .map(|o| format!("alter {} owner to \"{role}\";", o.object))
            .collect();
        return Err(Failure::new(format!(
            "role \"{role}\" may not alter what is there: {}",
            list.join(", ")
        ))
        .hint(format!(
            "as {} (or a superuser) run: {}",
            first.owner,
            hand_over.join(" ")
        )));
    }
    if !look.strange_triggers.is_empty() {
        return Err(Failure::new(format!(
            "public.user_sessions has triggers whose functions belong to somebody else than the table: {}",
            look.strange_triggers.join(", ")
        ))
        .hint(
            "who owns such a function runs code with the rights of whoever maintains the table: drop the triggers, or \
             hand their functions to the table's owner; nothing was changed",
        ));
    }
    if !look.taken_names.is_empty() {
        return Err(Failure::new(format!(
            "names of sessctl's indexes are taken in schema public by something else: {}",
            look.taken_names.join(", ")
        ))
        .hint("rename those, then run sessctl migrate again; nothing was changed"));
    }
    let found = Found::read(database).await?;
    let expected = snapshot();
    refuse_other_shape(&expected, found.facts())?;
    let is_pending = |version: &i32| pending.iter().any(|migration| migration.version() == *version);
    let takes_away = takes_away(&expected, found.facts())
        .into_iter()
        .filter(|(version, _)| is_pending(version))
        .map(|(_, line)| line)
        .collect();
    let is_ours = |object: &str| expected.contains_key(object) || SCRIPT_POLICIES.contains(&object);
    let policies = found.facts().keys().filter(|object| object.starts_with("policy "));
    Ok(Changes {
        takes_away,
        leaves: policies.filter(|object| !is_ours(object)).cloned().collect(),
    })
}

/// A table of that name which is not the script's is left alone.
fn refuse_other_shape(expected: &Facts, found: &Facts) -> Result<(), Failure> {
    let others: Vec<&String> = found
        .keys()
        .filter(|object| object.ends_with(" public.user_sessions") && !object.starts_with("table "))
        .collect();
    if let Some(other) = others.first() {
        return Err(Failure::new(format!("{other} is there, where sessctl keeps a table"))
            .hint("rename it, then run sessctl migrate again; nothing was changed"));
    }
    if !found.contains_key("table public.user_sessions") {
        return Ok(());
    }
    let mut differences = Vec::new();
    for (object, properties) in expected
        .iter()
        .filter(|(object, _)| object.starts_with("column public.user_sessions."))
    {
        let name = object.rsplit('.').next().unwrap_or_default();
        let wanted = properties.get("type");
        match found.get(object).map(|there| there.get("type")) {
            Some(there) if there != wanted => differences.push(format!(
                "column {name} is {} instead of {}",
                there.map_or("unknown", String::as_str),
                wanted.map_or("unknown", String::as_str)
            )),
            None if CORE_COLUMNS.contains(&name) => differences.push(format!("column {name} is missing")),
            _ => {}
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "public.user_sessions has another shape than the script's table: {}",
        differences.join(", ")
    ))
    .hint("alter or rename it, then run sessctl migrate again; nothing was changed"))
}

/// The migrations that take something away: of the table, policies, rights on the script's maintenance functions, rights.
const TABLE_VERSION: i32 = 1;
const POLICIES_VERSION: i32 = 2;
const MAINTENANCE_VERSION: i32 = 4;
const RIGHTS_VERSION: i32 = 5;

/// Every right, policy, constraint and index that is taken away from what is there, and by which migration.
fn takes_away(expected: &Facts, found: &Facts) -> Vec<(i32, String)> {
    let mut lines = Vec::new();
    let differences = compare(expected, found);
    // Such a function can't be replaced: it goes, and everybody's rights on it.
    let is_dropped = |object: &str| {
        differences.iter().any(|d| {
            d.object == object && d.found.is_some() && ["kind", "arguments", "result"].contains(&d.property.as_str())
        })
    };
    for difference in &differences {
        let object = &difference.object;
        if let (Some(right), None) = (difference.property.strip_prefix("grant "), &difference.expected)
            && (difference.class == Class::Drift || is_dropped(object))
        {
            let right = right.replacen(" to ", &format!(" on {object} from "), 1);
            let of_maintenance = object.contains("_sessions(");
            let version = if of_maintenance {
                MAINTENANCE_VERSION
            } else {
                RIGHTS_VERSION
            };
            lines.push((version, format!("right {right}")));
        } else if object.starts_with("constraint ") && difference.property == "definition" && difference.found.is_some()
        {
            let line = format!(
                "{object} as it is ({}), and makes it {}",
                difference.found.as_deref().unwrap_or_default(),
                difference.expected.as_deref().unwrap_or_default()
            );
            lines.push((TABLE_VERSION, line));
        } else if object == "index idx_user_sessions_session_id" {
            let line = format!("{object} (it repeats the one of the UNIQUE constraint)");
            lines.push((TABLE_VERSION, line));
        } else if object.starts_with("index ") && difference.property == "definition" && difference.found.is_some() {
            let line = format!(
                "{object} as it is, and builds it as {}",
                difference.expected.as_deref().unwrap_or_default()
            );
            lines.push((TABLE_VERSION, line));
        }
    }
    for policy in SCRIPT_POLICIES.iter().filter(|policy| found.contains_key(**policy)) {
        let ours = expected.get(*policy);
        if ours.is_none() {
            let line = format!("{policy} (service_role bypasses row level security)");
            lines.push((POLICIES_VERSION, line));
        } else if ours != found.get(*policy) {
            let line = format!("{policy} as it is, and makes it anew for authenticated alone");
            lines.push((POLICIES_VERSION, line));
        }
    }
    lines
}

/// What `migrate` did.
struct Outcome {
    applied: Vec<(i32, String)>,
    version: i32,
}

impl Json for Outcome {
    fn json(&self) -> serde_json::Result<Value> {
        let applied: Vec<Value> = self
            .applied
            .iter()
            .map(|(version, name)| json!({ "version": version, "name": name }))
            .collect();
        Ok(json!({ "applied": applied, "version": self.version }))
    }
}

impl Report for Outcome {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        let line = match self.applied.len() {
            0 => format!("nothing to do: the schema is at version {}", self.version),
            1 => format!("1 migration applied: the schema is at version {}", self.version),
            n => format!("{n} migrations applied: the schema is at version {}", self.version),
        };
        out.raw(&out.paint(Style::Good, &line))
    }
}

/// What `migrate --dry-run` would do.
struct Plan {
    pending: Vec<Migration>,
    takes_away: Vec<String>,
    version: i32,
}

impl Json for Plan {
    fn json(&self) -> serde_json::Result<Value> {
        let pending: Vec<Value> = self
            .pending
            .iter()
            .map(|m| json!({ "version": m.version(), "name": m.name(), "sql": m.sql() }))
            .collect();
        Ok(json!({ "pending": pending, "takes_away": self.takes_away, "version": self.version }))
    }
}

impl Report for Plan {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        if self.pending.is_empty() {
            return out.line(&format!("-- nothing to do: the schema is at version {}", self.version));
        }
        for line in &self.takes_away {
            out.line(&format!("-- takes away {line}"))?;
        }
        for migration in &self.pending {
            out.raw(&out.paint(
                Style::Bold,
                &format!("\n-- V{} {}", migration.version(), migration.name()),
            ))?;
            out.line(migration.sql().unwrap_or_default().trim_end())?;
        }
        Ok(())
    }
}
