//! `sessctl schedule remove`.

use std::io;

use serde::Serialize;
use tokio_postgres::types::Type;

use super::FAILED;
use crate::database::Database;
use crate::failure::Failure;
use crate::maintenance::cron_jobs;
use crate::output::{Page, Report};

#[derive(Serialize)]
pub(super) struct Removed {
    removed: Vec<String>,
}

pub(super) async fn run(database: &Database) -> Result<Removed, Failure> {
    let removed = database
        .ask(include_str!("remove.sql"), &[(&cron_jobs(), Type::TEXT_ARRAY)], FAILED)
        .await?;
    Ok(Removed { removed })
}

impl Report for Removed {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        match self.removed.as_slice() {
            [] => out.line("nothing to remove: no job of sessctl's is scheduled"),
            names => out.line(format!("removed {}", names.join(", "))),
        }
    }
}
