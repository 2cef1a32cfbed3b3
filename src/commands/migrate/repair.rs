//! `sessctl migrate --repair`, and how it shows what it did.

use std::io;

use anyhow::Result;
use serde::Serialize;

use super::super::Context;
use super::super::verify::lines;
use super::Args;
use super::repair_dry_run::RepairDryRun;
use crate::database::Database;
use crate::migrations::RepairPlan;
use crate::output::{Page, Report, Style};
use crate::schema::{Class, Declared, Difference};

impl Args {
    /// Repairs a schema that no migration is pending for.
    pub(super) async fn put_back(
        &self,
        database: &Database,
        declared: &Declared,
        context: &Context<'_>,
    ) -> Result<Box<dyn Report>> {
        let plan = RepairPlan::read(database, declared).await?;
        for difference in &plan.repair.left {
            let line = format!("not sessctl's, and left as it is: {}", lines(difference).join(" | "));
            match difference.class {
                Class::Drift => context.terminal.warn(&line),
                Class::Extra => context.terminal.note(&line),
            }
        }
        if self.dry_run {
            return Ok(Box::new(RepairDryRun::from(plan)));
        }
        let note = |text: &str| context.terminal.note(text);
        for line in plan.changes() {
            note(&line);
        }
        self.confirm(&plan.repair.risks, context).await?;
        plan.apply(database, self.limits(), &note).await?;
        Ok(Box::new(Repaired::from(plan)))
    }
}

/// What the repair did.
#[derive(Serialize)]
pub(super) struct Repaired {
    repaired: Vec<String>,
    left: Vec<Difference>,
    version: i32,
}

impl From<RepairPlan> for Repaired {
    fn from(plan: RepairPlan) -> Self {
        Self {
            repaired: plan.changes(),
            left: plan.repair.left,
            version: plan.version,
        }
    }
}

impl Report for Repaired {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        let version = self.version;
        let line = match self.repaired.len() {
            0 => format!("nothing to repair: the schema is that of version {version}"),
            1 => format!("1 change: the schema is that of version {version} again"),
            count => format!("{count} changes: the schema is that of version {version} again"),
        };
        out.line(out.paint(Style::Good, &line))
    }
}
