//! What the page shows of the table's size and of maintenance.

use super::html::Facts;
use crate::html::{Document, Markup, Table};
use crate::maintenance::RunState;
use crate::output::{count, size};

fn words(cells: &[&str]) -> Vec<Markup> {
    cells.iter().map(|cell| Markup::text(cell)).collect()
}

/// The cells of a run: when, by whom, how it ended, how many.
fn cells(run: Option<&RunState>) -> Vec<Markup> {
    let Some(run) = run else {
        return words(&["never", "", "", ""]);
    };
    let rows = match run.settled {
        0 => count(run.rows),
        settled => format!("{}, {} settled", count(run.rows), count(settled)),
    };
    words(&[
        &run.started_at.format("%F %T").to_string(),
        &format!("{} ({})", run.source, run.role),
        &run.outcome,
        &rows,
    ])
}

impl Facts<'_> {
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn sizes(&self, page: &mut Document) {
        page.section("Table and indexes", "What they take on disk.");
        let Some(sizes) = &self.sizes else {
            return page.paragraph("Their sizes could not be read.");
        };
        let mut table = Table::new(words(&["", "size", "share"])).of_words();
        let total = sizes.total();
        let relations = sizes.indexes.iter().map(|index| (index.name.as_str(), index.bytes));
        for (name, bytes) in [("public.user_sessions", sizes.table_bytes)]
            .into_iter()
            .chain(relations)
        {
            table.row_with_bar(words(&[name, &size(bytes)]), bytes as f64 / total.max(1) as f64);
        }
        table.row(words(&["total", &size(total)]));
        page.table(&table);
    }

    pub(super) fn maintenance(&self, page: &mut Document) {
        page.section("Maintenance", "Times in UTC.");
        let (Some(jobs), Some(runs)) = (&self.jobs, &self.runs) else {
            return page.paragraph("The record of runs could not be read.");
        };
        let mut table = Table::new(words(&["job", "last run", "by", "outcome", "sessions", "last success"])).of_words();
        for job in jobs {
            let mut row = words(&[&job.job]);
            row.extend(cells(job.last_run.as_ref()));
            row.extend(cells(job.last_success.as_ref()).into_iter().next());
            table.row(row);
        }
        page.table(&table);
        if runs.is_empty() {
            return;
        }
        page.section("Last runs", "Those of all jobs, at most 20, newest first.");
        let mut table = Table::new(words(&["job", "started", "by", "outcome", "sessions", "message"])).of_words();
        for of in runs {
            let mut row = words(&[&of.job]);
            row.extend(cells(Some(&of.run)));
            row.push(Markup::long_text(of.run.message.as_deref().unwrap_or_default()));
            table.row(row);
        }
        page.table(&table);
    }
}
