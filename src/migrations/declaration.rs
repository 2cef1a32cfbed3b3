//! What a team declares, as statements.

use postgres_protocol::escape::escape_literal;

use crate::schema::{Declared, LISTS, WITHOUT_INDEXES};

/// A text as SQL has it.
fn literal(text: &str) -> String {
    escape_literal(text).trim().to_owned()
}

/// A list as SQL has it.
pub(super) fn array(list: &[String]) -> String {
    let literals: Vec<String> = list.iter().map(|value| literal(value)).collect();
    format!("array[{}]", literals.join(", "))
}

/// The statement that keeps a declaration in the database.
pub(super) fn store(key: &str, list: &[String]) -> String {
    format!(
        "insert into sessctl.declared (key, list) values ('{key}', {}::text[])\n  \
         on conflict (key) do update set list = excluded.list, applied_at = now()",
        array(list)
    )
}

/// Statements that tell the migrations which lists and indexes a new table gets; `set` makes a setting. Without a declaration they are
/// the script's, whatever a role or a database has set.
pub(super) fn settings(declared: &Declared, set: &str) -> String {
    let statement = |key: &str| {
        let json = declared.get(key).map(|list| serde_json::json!(list).to_string());
        let name = key.replace('-', "_");
        format!("{set} sessctl.{name} = {};\n", literal(&json.unwrap_or_default()))
    };
    let keys = LISTS.iter().map(|spec| spec.key).chain([WITHOUT_INDEXES]);
    keys.map(statement).collect()
}
