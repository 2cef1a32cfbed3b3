//! The difference between what the schema is and what it should be, and what each difference means.

use std::time::{Duration, Instant};

use serde::Serialize;
use similar::{Algorithm, ChangeTag, capture_diff_slices_deadline};

use super::{Facts, Grant, Kind, LISTS, Object, Properties};

/// The API's roles: what they may do beyond ours is a matter of safety.
pub(crate) const API_ROLES: [&str; 5] = ["PUBLIC", "anon", "authenticated", "service_role", "authenticator"];

/// Properties that a team may set as it likes.
const FREE_PROPERTIES: [&str; 4] = ["options", "replica identity", "publications", "referenced by"];

/// The property of a view or function of others that reads the sessions with its owner's rights.
const READS_ALL: &str = "reads all sessions for";

/// Columns that may have a default of the team's.
const FREE_DEFAULTS: [&str; 5] = ["user_id", "session_id", "platform", "user_agent", "ip_address"];

/// Columns that an active session has no value for.
const ABSENT_AT_FIRST: [&str; 2] = ["ended_at", "end_reason"];

/// How long to look for a short difference of two texts.
const DIFF_TIME: Duration = Duration::from_millis(100);

/// How much a difference matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// The schema is not what the migrations make, or something extra touches safety.
    Drift,
    /// Somebody's own addition; drift only when asked to be strict.
    Extra,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The object.
    pub object: Object,
    /// Which of its properties; `present` where the whole object is missing or extra.
    pub property: String,
    /// What the migrations make; absent for what is extra.
    pub expected: Option<String>,
    /// What is there; absent for what is missing.
    pub found: Option<String>,
    /// What it means for safety or for the work, in a few words.
    pub note: Option<&'static str>,
    /// How much it matters.
    #[serde(skip)]
    pub class: Class,
}

impl Difference {
    /// Where a value is a text of several lines: the lines that only one of the two values has, after `-` where they are
    /// expected and after `+` where they were found. Empty where each value is one line.
    pub fn changed_lines(&self) -> Vec<String> {
        let lines = |value: &'_ Option<String>| -> Vec<String> {
            let text = value.iter().flat_map(|text| text.split('\n'));
            text.map(ToOwned::to_owned).collect()
        };
        let (expected, found) = (lines(&self.expected), lines(&self.found));
        if expected.len() < 2 && found.len() < 2 {
            return Vec::new();
        }
        let deadline = Some(Instant::now() + DIFF_TIME);
        capture_diff_slices_deadline(Algorithm::Myers, &expected, &found, deadline)
            .iter()
            .flat_map(|operation| operation.iter_changes(&expected, &found))
            .filter(|change| change.tag() != ChangeTag::Equal)
            .map(|change| format!("{} {}", change.tag(), change.value()))
            .collect()
    }
}

/// All differences between two sets of facts, by object.
pub fn compare(expected: &Facts, found: &Facts) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut add = |object: &Object, property: &str, wanted: Option<&String>, is: Option<&String>| {
        differences.push(Difference {
            object: object.clone(),
            property: property.to_owned(),
            expected: wanted.cloned(),
            found: is.cloned(),
            note: note(object, property, wanted, is),
            class: class(object, property, wanted, is),
        });
    };
    let present = String::from("yes");
    let missing = String::from("no");
    for (object, properties) in expected {
        match found.get(object) {
            None => add(object, "present", Some(&present), Some(&missing)),
            Some(there) => {
                for (property, wanted) in properties {
                    let is = there.get(property);
                    if is != Some(wanted) {
                        add(object, property, Some(wanted), is);
                    }
                }
                for (property, is) in there {
                    if !properties.contains_key(property) {
                        add(object, property, None, Some(is));
                    }
                }
            }
        }
    }
    let is_extra_table = |object: &&Object| object.kind == Kind::Table && !expected.contains_key(object);
    let extra_tables: Vec<&Object> = found.keys().filter(is_extra_table).collect();
    let is_part_of_extra_table = |object: &Object| {
        matches!(object.kind, Kind::Column | Kind::Constraint | Kind::Index)
            && extra_tables.iter().any(|table| object.is_part_of(table))
    };
    for (object, there) in found {
        if expected.contains_key(object) {
            continue;
        }
        if let Some(roles) = there.get(READS_ALL) {
            add(object, READS_ALL, None, Some(roles));
            continue;
        }
        // Rights on an extra column are rights on our table; the rest of an extra object is one line.
        let policy = policy(there);
        let summary = there
            .get("definition")
            .or_else(|| there.get("type"))
            .or(policy.as_ref())
            .unwrap_or(&present);
        if !is_part_of_extra_table(object) {
            add(object, "present", None, Some(summary));
            if must_be_written(object, there) {
                add(object, "nullable", None, Some(&missing));
            }
        }
        for (property, is) in there.iter().filter(|(property, _)| Grant::of(property).is_some()) {
            add(object, property, None, Some(is));
        }
    }
    differences
}

/// A policy as the statement that makes it has it; absent where these are the properties of something else.
pub(super) fn policy(properties: &Properties) -> Option<String> {
    let of = |property| properties.get(property);
    let mut text = format!("{} for {} to {}", of("kind")?, of("command")?, of("roles")?);
    for (words, property) in [("using", "using"), ("with check", "check")] {
        if let Some(expression) = of(property) {
            text = format!("{text} {words} ({expression})");
        }
    }
    Some(text)
}

/// Whether every insert that does not know of this column fails.
fn must_be_written(object: &Object, properties: &Properties) -> bool {
    object.kind == Kind::Column
        && properties.get("nullable").is_some_and(|nullable| nullable == "no")
        && ["default", "identity", "generated"]
            .iter()
            .all(|source| !properties.contains_key(*source))
}

/// Whether a team may have it so: no promise of the schema depends on it, and migrate leaves it.
fn is_free(object: &Object, property: &str, expected: Option<&String>, found: Option<&String>) -> bool {
    let becomes = |from: &str, to: &str| expected.is_some_and(|e| e == from) && found.is_some_and(|f| f == to);
    let column = object.sessions_column();
    match (object.kind, property) {
        // Other tools keep their settings in comments.
        (_, "comment" | READS_ALL) => true,
        (Kind::Table, "force row level security") => *object == Object::sessions() && becomes("off", "on"),
        (Kind::Table, property) => FREE_PROPERTIES.contains(&property),
        (Kind::Column, "default") => expected.is_none() && column.is_some_and(|name| FREE_DEFAULTS.contains(&name)),
        (Kind::Column, "nullable") => {
            becomes("yes", "no") && column.is_some_and(|name| !ABSENT_AT_FIRST.contains(&name))
        }
        _ => false,
    }
}

fn class(object: &Object, property: &str, expected: Option<&String>, found: Option<&String>) -> Class {
    if is_free(object, property, expected, found) {
        return Class::Extra;
    }
    if expected.is_some() {
        return Class::Drift;
    }
    if let Some(grant) = Grant::of(property) {
        return if API_ROLES.contains(&grant.role) {
            Class::Drift
        } else {
            Class::Extra
        };
    }
    let is_harmless = matches!(object.kind, Kind::Column | Kind::Constraint | Kind::Index);
    if is_harmless && property == "present" {
        Class::Extra
    } else {
        Class::Drift
    }
}

fn note(object: &Object, property: &str, expected: Option<&String>, found: Option<&String>) -> Option<&'static str> {
    let missing = property == "present" && expected.is_some();
    if let Some(grant) = Grant::of(property) {
        return match (expected, grant.role) {
            (None, "anon" | "PUBLIC") => Some("reachable without signing in"),
            (None, "authenticated") => Some("every signed-in user has this right"),
            (None, "service_role" | "authenticator") => Some("beyond what the API needs"),
            (None, _) => None,
            (Some(_), _) if found.is_none() => Some("clients lose a right they need"),
            (Some(_), _) => Some("the role may pass this right on"),
        };
    }
    // Clients write public.user_sessions, the program writes the private tables.
    if object.is_private() && matches!(object.kind, Kind::Column | Kind::Constraint | Kind::Index) {
        return Some("maintenance and migrations may fail").filter(|_| expected.is_some() || property == "nullable");
    }
    match (object.kind, property) {
        (_, READS_ALL) => Some("it has its owner's rights, whom row level security lets see every row"),
        (Kind::Table, "row level security") if *object != Object::sessions() => None,
        (Kind::Table, "row level security") => Some("every user of the API reads and writes every row"),
        (Kind::Table, "force row level security") => Some("the owner's maintenance may see no rows"),
        (Kind::Table, "persistence") => Some("the rows are lost when the server crashes"),
        (Kind::Table, "children") => Some("reads reach the rows of that table too, maintenance leaves them alone"),
        (Kind::Table, "referenced by") => Some(
            "a cleanup takes, or is kept by, the rows that refer to a session; without an index it reads that table for each",
        ),
        (Kind::Role, "row level security") if object.name == "service_role" => Some("maintenance may see no rows"),
        (Kind::Role, "row level security") => Some("the role reads and writes every row"),
        (Kind::Role, "rights through") => Some("the role has the rights of those too"),
        (Kind::Constraint, "definition") if LISTS.iter().any(|list| list.object() == *object) => {
            Some("if it is what you want, declare the values in sessctl.toml and run sessctl migrate")
        }
        (Kind::Constraint, "enforced") => Some("rows of users who are gone stay, rows of unknown users get in"),
        (Kind::Constraint, "present") if !missing => Some("may refuse what clients write"),
        (_, "owner lacks") => Some("maintenance and migrations may fail"),
        (Kind::Table, "publications") => Some("a sweep streams an event for each row it ends"),
        (Kind::Policy, "present") if missing => Some("users lose access to their own rows"),
        (Kind::Policy, _) => Some("decides who reads and writes which rows"),
        (Kind::Trigger, "present") if missing => Some("updated_at is no longer kept"),
        (Kind::Trigger, "enabled") => Some("updated_at is no longer kept"),
        (Kind::Trigger, _) if expected.is_none() => Some("runs with every write to the table"),
        (Kind::Rule, _) => Some("rewrites statements on the table"),
        (Kind::View, "options") => Some("without security_invoker every reader sees everybody's sessions"),
        (Kind::Function, "settings") => Some("a caller's search_path could put other functions under its feet"),
        (Kind::Function, "security") => Some("runs with its owner's rights"),
        (Kind::Index, "valid") => Some("costs every write and serves no read"),
        (Kind::Index, "present") if missing => Some("lookups and maintenance get slow"),
        (Kind::Column, "nullable") if found.is_some_and(|found| found == "no") && expected.is_some() => {
            Some("a session without a value is refused")
        }
        (Kind::Column, "nullable") if expected.is_none() => Some("without a default every client's insert fails"),
        (_, "owner") => Some("the owner may do anything with it"),
        (Kind::Constraint, "validated") => Some("old rows may not comply"),
        _ => None,
    }
}
