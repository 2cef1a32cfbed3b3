//! How `sessctl migrate --dry-run` shows what it would do.

use std::io;
use std::time::Duration;

use serde::Serialize;

use super::report::Step;
use crate::migrations::{Plan, history_table, record_sql};
use crate::output::{Page, Report, Style};

/// What `migrate --dry-run` would do.
#[derive(Serialize)]
pub(super) struct DryRun {
    recorded: Vec<Step>,
    /// What makes the history, with the rows of the recorded; absent where it is there.
    #[serde(skip)]
    history: Option<String>,
    pending: Vec<Pending>,
    /// What tells the migrations what is declared.
    #[serde(skip)]
    settings: String,
    /// What applies the declaration after the migrations; absent where it is in force.
    declared: Option<String>,
    changes: Vec<String>,
    /// What people see of them.
    #[serde(skip)]
    listed: Vec<String>,
    /// Those that clients may depend on: migrate asks, or needs --yes.
    confirm: Vec<String>,
    version: i32,
}

/// One migration to apply.
#[derive(Serialize)]
pub(super) struct Pending {
    #[serde(flatten)]
    step: Step,
    /// Absent where it is recorded and not run.
    sql: Option<String>,
    /// The same with its history row, in the transaction that it needs.
    #[serde(skip)]
    script: String,
}

impl DryRun {
    /// `is_verbose`: people see each right that is revoked. Programs always do. `lock_timeout`: for the statements of a transaction.
    pub(super) fn of(plan: Plan, is_verbose: bool, lock_timeout: Duration) -> Self {
        let pending = plan.pending.iter().map(|migration| Pending {
            step: migration.into(),
            sql: migration.sql().filter(|_| !plan.is_omitted(migration)).map(Into::into),
            script: plan.script(migration, lock_timeout),
        });
        let history = match plan.unrecorded.as_slice() {
            [] => (plan.version == 0 && !plan.pending.is_empty()).then(history_table),
            unrecorded => Some(record_sql(unrecorded)),
        };
        Self {
            recorded: plan.unrecorded.iter().map(Into::into).collect(),
            history,
            pending: pending.collect(),
            settings: plan.settings("set"),
            declared: Some(plan.declared_sql()).filter(|sql| !sql.is_empty()),
            listed: if is_verbose { plan.changes.clone() } else { plan.listed },
            changes: plan.changes,
            confirm: plan.risks,
            version: plan.version,
        }
    }
}

impl Report for DryRun {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        for Step { version, name } in &self.recorded {
            out.line(format!("-- records V{version} {name}, whose work is there, as applied"))?;
        }
        if self.pending.is_empty() && self.recorded.is_empty() && self.declared.is_none() {
            return out.line(format!("-- nothing to do: the schema is at version {}", self.version));
        }
        for line in &self.listed {
            out.line(format!("-- {line}"))?;
        }
        confirm(out, &self.confirm)?;
        // What a failed statement leaves out, those behind it need.
        out.line("-- runs from top to bottom with psql -v ON_ERROR_STOP=1, outside of a transaction")?;
        if self.declared.is_some() && !self.pending.is_empty() {
            out.lines(&self.settings)?;
        }
        if let Some(sql) = &self.history {
            out.line("")?;
            out.lines(sql)?;
        }
        for Pending { step, script, .. } in &self.pending {
            out.line("")?;
            out.line(out.paint(Style::Bold, &format!("-- V{} {}", step.version, step.name)))?;
            out.lines(script)?;
        }
        if let Some(sql) = &self.declared {
            out.line("")?;
            out.line(out.paint(Style::Bold, "-- what is declared"))?;
            out.lines(sql)?;
        }
        Ok(())
    }
}

/// Says what migrate will ask about.
pub(super) fn confirm(out: &mut Page<'_>, risks: &[String]) -> io::Result<()> {
    if risks.is_empty() {
        return Ok(());
    }
    out.line("-- clients may depend on what these change, so it asks on a terminal, and needs --yes elsewhere:")?;
    risks.iter().try_for_each(|line| out.line(format!("--   {line}")))
}
