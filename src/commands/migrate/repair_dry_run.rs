//! How `sessctl migrate --repair --dry-run` shows what it would do.

use std::io;

use serde::Serialize;

use super::dry_run::confirm;
use crate::migrations::RepairPlan;
use crate::output::{Page, Report, Style};
use crate::schema::Difference;
use crate::schema::repair::{Statement, Step};

/// What `migrate --repair --dry-run` would do.
#[derive(Serialize)]
pub(super) struct RepairDryRun {
    /// One transaction.
    transaction: Vec<Statement>,
    /// Afterwards.
    later: Vec<Statement>,
    /// What it leaves to a person.
    manual: Vec<Statement>,
    /// Migrations that are recorded as applied.
    recorded: Vec<i32>,
    left: Vec<Difference>,
    /// What clients may depend on: the repair asks, or needs --yes.
    confirm: Vec<String>,
    version: i32,
}

impl From<RepairPlan> for RepairDryRun {
    fn from(plan: RepairPlan) -> Self {
        let later = plan.repair.later.iter().map(|later| {
            let steps = later.steps.iter().map(|step| match step {
                Step::Transaction(sql) => format!("begin;\n{sql}\ncommit;"),
                Step::Build { sql, .. } | Step::Alone(sql) => sql.clone(),
            });
            Statement {
                change: later.change.clone(),
                sql: steps.collect::<Vec<_>>().join("\n"),
            }
        });
        Self {
            later: later.collect(),
            recorded: plan.unrecorded.iter().map(refinery::Migration::version).collect(),
            version: plan.version,
            transaction: plan.repair.statements,
            manual: plan.repair.manual,
            left: plan.repair.left,
            confirm: plan.repair.risks,
        }
    }
}

impl Report for RepairDryRun {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        let Self {
            transaction,
            later,
            manual,
            recorded,
            version,
            ..
        } = self;
        if transaction.is_empty() && later.is_empty() && manual.is_empty() && recorded.is_empty() {
            return out.line(format!("-- nothing to repair: the schema is that of version {version}"));
        }
        let show = |out: &mut Page<'_>, statements: &[Statement]| {
            statements.iter().try_for_each(|Statement { change, sql }| {
                out.line("")?;
                out.line(out.paint(Style::Bold, &format!("-- {change}")))?;
                out.lines(sql)
            })
        };
        confirm(out, &self.confirm)?;
        if !transaction.is_empty() {
            out.line("begin;")?;
            show(out, transaction)?;
            out.line("")?;
            out.line("commit;")?;
        }
        show(out, later)?;
        for version in recorded {
            out.line(format!("-- records migration V{version} as applied"))?;
        }
        for Statement { change, sql } in manual {
            out.line("")?;
            out.line(out.paint(Style::Bold, &format!("-- left to you: {change}")))?;
            for line in sql.lines() {
                out.line(format!("-- {line}"))?;
            }
        }
        Ok(())
    }
}
