//! What the migrations take away from what is there.

use crate::schema::{Class, Facts, Grant, Kind, Object, compare};

/// The script's policies; ours bear three of the names.
pub(super) const SCRIPT_POLICIES: [&str; 4] = [
    "Users can view their own sessions",
    "Users can create their own sessions",
    "Users can update their own sessions",
    "Service role can manage all sessions",
];

/// The migrations that take something away: of the table, policies, rights on the script's maintenance functions, rights.
const TABLE_VERSION: i32 = 1;
const POLICIES_VERSION: i32 = 2;
const MAINTENANCE_VERSION: i32 = 4;
const RIGHTS_VERSION: i32 = 5;

/// Every right, policy, constraint and index that is taken away from what is there, and by which migration.
pub(super) fn takes_away(expected: &Facts, found: &Facts) -> Vec<(i32, String)> {
    let mut lines = Vec::new();
    let differences = compare(expected, found);
    // Such a function can't be replaced: it goes, and everybody's rights on it.
    let is_dropped = |object: &Object| {
        differences.iter().any(|d| {
            d.object == *object && d.found.is_some() && ["kind", "arguments", "result"].contains(&d.property.as_str())
        })
    };
    for difference in &differences {
        let object = &difference.object;
        if let (Some(Grant { right, role }), None) = (Grant::of(&difference.property), &difference.expected)
            && (difference.class == Class::Drift || is_dropped(object))
        {
            let of_maintenance = object.name.contains("_sessions(");
            let version = if of_maintenance {
                MAINTENANCE_VERSION
            } else {
                RIGHTS_VERSION
            };
            lines.push((version, format!("right {right} on {object} from {role}")));
        } else if object.kind == Kind::Constraint && difference.property == "definition" && difference.found.is_some() {
            let line = format!(
                "{object} as it is ({}), and makes it {}",
                difference.found.as_deref().unwrap_or_default(),
                difference.expected.as_deref().unwrap_or_default()
            );
            lines.push((TABLE_VERSION, line));
        } else if object.is(Kind::Index, "idx_user_sessions_session_id") {
            let line = format!("{object} (it repeats the one of the UNIQUE constraint)");
            lines.push((TABLE_VERSION, line));
        } else if object.kind == Kind::Index && difference.property == "definition" && difference.found.is_some() {
            let line = format!(
                "{object} as it is, and builds it as {}",
                difference.expected.as_deref().unwrap_or_default()
            );
            lines.push((TABLE_VERSION, line));
        }
    }
    for policy in SCRIPT_POLICIES.map(|name| Object::new(Kind::Policy, name)) {
        let (Some(there), ours) = (found.get(&policy), expected.get(&policy)) else {
            continue;
        };
        if ours.is_none() {
            let line = format!("{policy} (service_role bypasses row level security)");
            lines.push((POLICIES_VERSION, line));
        } else if ours != Some(there) {
            let line = format!("{policy} as it is, and makes it anew for authenticated alone");
            lines.push((POLICIES_VERSION, line));
        }
    }
    lines
}
