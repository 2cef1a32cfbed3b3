//! Sessions that a declared list does not fit.

use serde::Deserialize;
use tokio_postgres::types::Type;

use crate::database::{Database, QueryError};
use crate::failure::Failure;
use crate::output::count;
use crate::schema::ListSpec;

#[derive(Deserialize)]
struct Misfit {
    value: String,
    rows: u64,
}

/// The refusal of a list that rows do not fit, if there are such rows.
pub(super) async fn misfits(database: &Database, spec: &ListSpec, list: &[String]) -> Result<Option<Failure>, Failure> {
    let sql = include_str!("lists_misfits.sql").replace("{column}", spec.column);
    // Rows that this role can't see count too: without this they would be passed over.
    let opening = "set local row_security = off";
    let found = database.json_after(opening, &sql, &[(&list, Type::TEXT_ARRAY)]).await;
    let ended = database.run("rollback").await;
    let explain = |error: QueryError| error.explain("can't count the sessions by value");
    let misfits: Vec<Misfit> = found.map_err(explain)?;
    ended.map_err(explain)?;
    if misfits.is_empty() {
        return Ok(None);
    }
    let total = misfits.iter().map(|misfit| misfit.rows).sum();
    let values: Vec<String> = misfits
        .iter()
        .map(|misfit| format!("{} ({})", misfit.value, count(misfit.rows)))
        .collect();
    Ok(Some(
        Failure::new(format!(
            "{} {} of a {} that the declared {} lack: {}",
            count(total),
            if total == 1 { "session is" } else { "sessions are" },
            spec.column,
            spec.key,
            values.join(", ")
        ))
        .hint("declare it too, or change these sessions, then run sessctl migrate again; the list was not changed"),
    ))
}
