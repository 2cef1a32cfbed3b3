//! What migrate does, as SQL that is run elsewhere: with psql, or with the supabase CLI.

use std::time::Duration;

use refinery::Migration;

use super::{NO_TRANSACTION, declaration, history_table, lists, omitted};
use crate::schema::{Declared, LISTS, OptionalIndex, WITHOUT_INDEXES};

/// A migration with its history row, in the transaction that it needs.
pub(super) fn script(migration: &Migration, is_omitted: bool, lock_timeout: Duration) -> String {
    let sql = migration.sql().unwrap_or_default().trim_end();
    let record = record(std::slice::from_ref(migration));
    if is_omitted {
        return format!("-- recorded, and not run: its index is left out\n{record}");
    }
    if sql.starts_with(NO_TRANSACTION) {
        return format!("{sql}\n\n{record}");
    }
    let lock_timeout = lock_timeout.as_millis();
    format!(
        "begin;\nset local search_path = pg_catalog, pg_temp;\nset local lock_timeout = {lock_timeout};\n\n{sql}\n\n{record}\ncommit;"
    )
}

/// Adds the rows that refinery adds to the history.
pub(super) fn record(migrations: &[Migration]) -> String {
    let row = |migration: &Migration| {
        format!(
            "({}, '{}', pg_catalog.to_char(pg_catalog.clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), '{}')",
            migration.version(),
            migration.name(),
            migration.checksum()
        )
    };
    let rows: Vec<String> = migrations.iter().map(row).collect();
    format!(
        "insert into sessctl.schema_history (version, name, applied_on, checksum) values\n  {};",
        rows.join(",\n  ")
    )
}

/// The text of a file for the supabase CLI that brings a project from version `after` to that of `ours`, which are all migrations.
/// Nothing in it is built concurrently: it runs where there are no sessions, in one transaction.
pub(crate) fn export(ours: &[Migration], after: i32, declared: &Declared, timestamp: &str) -> String {
    let last = ours.last().map_or(0, Migration::version);
    let row = |migration: &Migration| {
        format!(
            "'{} {} {}'",
            migration.version(),
            migration.name(),
            migration.checksum()
        )
    };
    let rows: Vec<String> = ours.iter().map(row).collect();
    let checks = LISTS.iter().filter(|spec| declared.contains_key(spec.key));
    let checks: Vec<&str> = checks.map(|spec| spec.constraint).collect();
    let before = format!("{}\n{}", history_table(), declaration::settings(declared, "set local"));
    let migrations = ours
        .iter()
        .filter(|migration| migration.version() > after)
        .map(|migration| values(migration, declared));
    let migrations = migrations.collect::<Vec<String>>().join(",\n");
    let declaration = exported_declaration(ours, after, declared);
    let mut tag = "sessctl".to_owned();
    while [&migrations, &declaration, &before]
        .iter()
        .any(|text| text.contains(&format!("${tag}$")))
    {
        tag.push('_');
    }
    let values = [
        ("first", (after + 1).to_string()),
        ("last", last.to_string()),
        ("release", env!("CARGO_PKG_VERSION").into()),
        ("release_rows", rows.join(",\n    ")),
        ("declared_checks", format!("'{{{}}}'", checks.join(", "))),
        ("timestamp", timestamp.into()),
        ("tag", tag),
        (
            "maintenance_roles",
            include_str!("maintenance_roles.sql").trim_end().into(),
        ),
        ("migrations", migrations),
        ("before", indented(&before)),
        ("declaration", declaration),
    ];
    fill(include_str!("export.sql"), &values)
}

/// Puts the values in the places of their names; a place in a value is none.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let (mut text, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let found = values.iter().find_map(|(name, value)| {
            let after = after.strip_prefix(name)?.strip_prefix('}')?;
            Some((value.as_str(), after))
        });
        let (value, after) = found.unwrap_or(("{", after));
        text.push_str(value);
        rest = after;
    }
    text + rest
}

/// A migration, as values of a query: what is built concurrently elsewhere is not here.
fn values(migration: &Migration, declared: &Declared) -> String {
    let sql = match omitted::optional(migration) {
        Some(index) if OptionalIndex::omitted(declared).contains(&index) => format!("-- Left out: {index}."),
        _ => not_concurrent(migration),
    };
    let (version, name, checksum) = (migration.version(), migration.name(), migration.checksum());
    let tag = format!("$sessctl_v{version}$");
    format!("({version}, '{name}', '{checksum}', {tag}\n{sql}\n{tag})")
}

fn indented(sql: &str) -> String {
    let lines: String = sql.lines().map(|line| format!("  {line}\n")).collect();
    lines + "\n"
}

/// Its statements for a table without rows.
fn not_concurrent(migration: &Migration) -> String {
    let sql = migration.sql().unwrap_or_default().trim_end();
    match sql.strip_prefix(NO_TRANSACTION) {
        Some(sql) => sql.trim_start().replace(" concurrently", ""),
        None => sql.to_owned(),
    }
}

/// What in an exported file brings the declaration about, on a table without rows; empty where nothing is declared.
fn exported_declaration(ours: &[Migration], after: i32, declared: &Declared) -> String {
    let mut sql = lists::on_empty_table(declared);
    if let Some(list) = declared.get(WITHOUT_INDEXES) {
        let left_out = OptionalIndex::omitted(declared);
        for migration in ours {
            match omitted::optional(migration) {
                Some(index) if left_out.contains(&index) => {
                    sql += &format!("drop index if exists public.{index};\n");
                }
                // An earlier file may have left it out.
                Some(_) if migration.version() <= after => sql += &format!("{}\n", not_concurrent(migration)),
                _ => {}
            }
        }
        sql += &format!("{};\n", declaration::store(WITHOUT_INDEXES, list));
    }
    indented(&sql).trim_end().to_owned()
}

/// Whether an exported file has this declaration.
pub(crate) fn declares(text: &str, declared: &Declared) -> bool {
    let mut stores = declared
        .iter()
        .map(|(key, list)| indented(&declaration::store(key, list)));
    stores.all(|store| text.contains(store.trim_end()))
}
