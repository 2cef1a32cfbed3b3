//! How `sessctl migrate` shows what it did.

use std::io;

use refinery::Migration;
use serde::Serialize;

use crate::output::{Page, Report, Style};

/// One migration.
#[derive(Serialize)]
pub(super) struct Step {
    pub(super) version: i32,
    pub(super) name: String,
}

impl From<&Migration> for Step {
    fn from(migration: &Migration) -> Self {
        Self {
            version: migration.version(),
            name: migration.name().into(),
        }
    }
}

/// What `migrate` did.
#[derive(Serialize)]
pub(super) struct Outcome {
    pub(super) applied: Vec<Step>,
    /// What of sessctl.toml was applied, by key.
    pub(super) declared: Vec<&'static str>,
    /// Those whose work was there without a history.
    pub(super) recorded: Vec<Step>,
    pub(super) version: i32,
}

impl Report for Outcome {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        let line = match self.applied.len() {
            0 if !self.recorded.is_empty() => {
                let count = self.recorded.len();
                format!(
                    "{count} migrations recorded, whose work was there: the schema is at version {}",
                    self.version
                )
            }
            0 if !self.declared.is_empty() => {
                let keys = self.declared.join(" and ");
                format!(
                    "the declared {keys} are applied: the schema is at version {}",
                    self.version
                )
            }
            0 => format!("nothing to do: the schema is at version {}", self.version),
            1 => format!("1 migration applied: the schema is at version {}", self.version),
            n => format!("{n} migrations applied: the schema is at version {}", self.version),
        };
        out.line(out.paint(Style::Good, &line))
    }
}
