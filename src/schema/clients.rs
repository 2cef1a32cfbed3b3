//! Which changes clients may depend on, and how a change is told.
//!
//! What the original script or a version of sessctl made is what migrate is there to change: nobody is asked. Clients may depend on
//! what a team made of it: a default, a rule, a policy, a trigger, a function, a view, a right.

use super::{Difference, Facts, Grant, Kind, LISTS, Object, Properties, script, without};

/// Rights that a request to the API can use. The others take a connection as the role.
pub(super) const CLIENT_RIGHTS: [&str; 6] = ["select", "insert", "update", "delete", "execute", "usage"];

/// Properties of a function that its callers see.
const OF_CALLS: [&str; 7] = [
    "kind",
    "arguments",
    "result",
    "language",
    "body",
    "security",
    "on null input",
];

/// What sessctl, or the script before it, made of an object at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    versions: Vec<Facts>,
    script: Facts,
    /// The table is adopted from the script. Later it is a team that puts back what the script had.
    is_adoption: bool,
}

impl Origins {
    /// These versions of the schema, after the script.
    pub(crate) fn of<'a>(versions: impl IntoIterator<Item = &'a Facts>) -> Self {
        Self {
            versions: versions.into_iter().cloned().collect(),
            script: script(),
            is_adoption: false,
        }
    }

    /// For a table that may be the script's.
    pub(crate) fn in_an_adoption(mut self) -> Self {
        self.is_adoption = true;
        self
    }

    /// Whether clients may depend on what this difference is about, if what was found becomes what is expected. Whether it does so is
    /// for the caller to know.
    pub(crate) fn may_break_clients(&self, difference: &Difference, expected: &Facts, found: &Facts) -> bool {
        let Difference { object, property, .. } = difference;
        let is = difference.found.as_ref();
        if object.is_private() || *object == Object::schema() {
            return false;
        }
        if let Some(grant) = Grant::of(property) {
            let is_revoked = difference.expected.is_none() && is.is_some();
            // Nobody acts as authenticator: each request takes a role first.
            return is_revoked
                && CLIENT_RIGHTS.contains(&grant.right)
                && grant.role != "authenticator"
                && !is_right_on_table(object, property, expected)
                && !self.is_useless(object, grant, found);
        }
        let is_other = || !self.has(object, property, is);
        match (object.kind, property.as_str()) {
            (Kind::Policy | Kind::Function | Kind::View, "present") => {
                difference.expected.is_none() && !self.has_whole(object, found)
            }
            (Kind::Constraint, "present") => is_new_rule(object, expected, found),
            (Kind::Constraint, "definition") => is_other() && !takes_more(object, difference),
            (Kind::Constraint, "enforced") => is_other(),
            (Kind::Table, "row level security") => is.is_some_and(|is| is == "off"),
            (Kind::Column, "default") => is.is_some() && is_other() && !is_random_id(object, is),
            (Kind::Column, "nullable") => is.is_some_and(|is| is == "yes") && is_other(),
            (Kind::Column, "type" | "identity" | "generated") => is_other(),
            (Kind::Policy, _) => is_other(),
            // One that another migrate has just replaced has no definition any more.
            (Kind::Trigger, "definition") => is.is_some() && is_other(),
            (Kind::Function, property) => OF_CALLS.contains(&property) && is_other(),
            (Kind::View, "definition" | "columns" | "options") => is_other(),
            _ => false,
        }
    }

    /// Whether this is a value that an object comes from.
    fn has(&self, object: &Object, property: &str, value: Option<&String>) -> bool {
        let is_it = |facts: &Facts| {
            facts
                .get(object)
                .is_some_and(|properties| properties.get(property) == value)
        };
        self.versions.iter().any(is_it) || self.is_adoption && is_it(&self.script)
    }

    /// Whether an object had this value at some time.
    fn knew(&self, object: &Object, property: &str, value: Option<&String>) -> bool {
        let is_it = |facts: &Facts| {
            facts
                .get(object)
                .is_some_and(|properties| properties.get(property) == value)
        };
        self.versions.iter().chain([&self.script]).any(is_it)
    }

    /// Whether an object is as it was at some time, apart from its owner, its comment and rights on it.
    fn has_whole(&self, object: &Object, found: &Facts) -> bool {
        let own = |properties: &Properties| {
            let mut properties = properties.clone();
            properties.retain(|name, _| Grant::of(name).is_none() && !name.starts_with("owner") && name != "comment");
            properties
        };
        let found = found.get(object).map(own);
        let mut objects = self
            .versions
            .iter()
            .chain([&self.script])
            .filter_map(|facts| facts.get(object));
        objects.any(|properties| Some(own(properties)) == found)
    }

    /// Whether clients can do nothing with a right, or nothing that they should. Of the table nobody reaches a row but by a policy: by those
    /// of the script and ours users reach their own. The script's functions failed at each call, and its view showed everybody's
    /// sessions; ours need rights on the table.
    fn is_useless(&self, object: &Object, grant: Grant<'_>, found: &Facts) -> bool {
        let seen: &[&str] = match object.kind {
            Kind::Function => &OF_CALLS,
            Kind::View => &["definition", "columns"],
            _ => &[],
        };
        if !seen.is_empty() {
            let is = |property: &str| found.get(object).and_then(|properties| properties.get(property));
            return seen.iter().all(|property| self.knew(object, property, is(property)));
        }
        let is_open = |(object, there): (&Object, &Properties)| {
            let of = |property: &str| there.get(property).map_or("", String::as_str);
            object.kind == Kind::Policy
                && [grant.right, "all"].contains(&of("command"))
                && (grant.role == "PUBLIC"
                    || of("roles")
                        .split(", ")
                        .any(|role| [grant.role, "public"].contains(&role)))
                && !self.has_whole(object, found)
        };
        let sessions = found.get(&Object::sessions());
        let is_off = sessions
            .and_then(|table| table.get("row level security"))
            .is_some_and(|is| is == "off");
        !is_off && !found.iter().any(is_open)
    }
}

/// Whether a CHECK becomes a list with the values that it has, and perhaps others.
fn takes_more(object: &Object, difference: &Difference) -> bool {
    let spec = LISTS.iter().find(|spec| spec.object() == *object);
    let list = |definition: &Option<String>| spec?.parse(definition.as_deref()?);
    match (list(&difference.found), list(&difference.expected)) {
        (Some(is), Some(wanted)) => without(&is, &wanted).is_empty(),
        _ => false,
    }
}

/// Whether a constraint refuses what the table, which is there, took before.
fn is_new_rule(object: &Object, expected: &Facts, found: &Facts) -> bool {
    let definition = expected.get(object).and_then(|properties| properties.get("definition"));
    // No client writes the same random id twice.
    let is_of_ids = definition.is_some_and(|definition| definition == "PRIMARY KEY (id)");
    found.contains_key(&Object::sessions()) && !is_of_ids && other_name(object, expected, found).is_none()
}

/// Whether a right on a column is one that the role has on the whole table, or will have.
fn is_right_on_table(object: &Object, property: &str, expected: &Facts) -> bool {
    let table = expected.iter().find(|(table, _)| {
        matches!(table.kind, Kind::Table | Kind::View) && object.kind == Kind::Column && object.is_part_of(table)
    });
    table.is_some_and(|(_, properties)| properties.contains_key(property))
}

/// The constraint of the same rule that has another name.
fn other_name<'a>(object: &Object, expected: &Facts, found: &'a Facts) -> Option<&'a Object> {
    let definition = expected.get(object)?.get("definition");
    let is_same = |(other, there): &(&Object, &Properties)| {
        other.kind == Kind::Constraint && !expected.contains_key(*other) && there.get("definition") == definition
    };
    found.iter().find(is_same).map(|(other, _)| other)
}

/// Whether a default of `id` is the script's, from whatever schema the extension is in.
fn is_random_id(object: &Object, default: Option<&String>) -> bool {
    let is_of_extension =
        |default: &String| default == "uuid_generate_v4()" || default.ends_with(".uuid_generate_v4()");
    object.sessions_column() == Some("id") && default.is_some_and(is_of_extension)
}

/// What becomes of an object that differs, in a line. Absent where nothing does, or another difference of `all` tells it.
pub(crate) fn words(difference: &Difference, all: &[Difference], there: &Facts, wanted: &Facts) -> Option<String> {
    let Difference {
        object,
        property,
        expected,
        found,
        ..
    } = difference;
    if let (Some(Grant { right, role }), None) = (Grant::of(property), expected) {
        return Some(format!("revokes {right} on {object} from {role}"));
    }
    let differs = |other: &str| all.iter().any(|d| d.object == *object && d.property == other);
    match (object.kind, property.as_str(), expected, found) {
        (Kind::Table, "row level security", _, Some(_)) => Some(format!("turns row level security on for {object}")),
        (Kind::Column, "default", Some(wanted), Some(is)) => {
            Some(format!("replaces the default of {object} ({is}) with {wanted}"))
        }
        (Kind::Column, "default", Some(wanted), None) => Some(format!("sets the default of {object}: {wanted}")),
        (Kind::Column, "default", None, Some(is)) => Some(format!("drops the default of {object} ({is})")),
        (Kind::Column, "nullable", _, Some(is)) if is == "yes" => Some(format!("sets {object} not null")),
        (Kind::Column, "nullable", ..) => Some(format!("drops not null of {object}")),
        (Kind::Constraint | Kind::Index, "definition", Some(wanted), Some(is)) => {
            let is = if object.kind == Kind::Constraint {
                format!(" ({is})")
            } else {
                String::new()
            };
            Some(format!("replaces {object}{is} with {wanted}"))
        }
        (Kind::Constraint, "present", Some(_), _) => Some(match other_name(object, wanted, there) {
            Some(other) => format!("renames {other} to {}", object.name),
            None => format!(
                "adds {object}: {}",
                wanted[object].get("definition").map_or("", String::as_str)
            ),
        }),
        (Kind::Constraint, "enforced", ..) => Some(format!("enforces {object} again")),
        (Kind::Column, "generated" | "identity", None, Some(_)) => Some(format!("makes {object} an ordinary column")),
        (Kind::Column, "type", Some(wanted), Some(is)) => Some(format!("changes {object} from {is} to {wanted}")),
        (Kind::Constraint, "validated", ..) => Some(format!("validates {object}")),
        (Kind::View, "columns", Some(wanted), Some(is)) => Some(format!("replaces {object} ({is}) with {wanted}")),
        (Kind::View, ..) => (!differs("columns")).then(|| format!("replaces {object}")),
        (Kind::Function | Kind::Trigger, ..) => Some(format!("replaces {object}")),
        (Kind::Policy, ..) => Some(format!("replaces {object}: for authenticated alone")),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{compare, snapshot};
    use super::*;

    /// What a later version finds of this function, whose body an earlier version had otherwise.
    fn asks(found: &str, earlier: &str) -> bool {
        let function = Object::new(Kind::Function, "public.cleanup_old_sessions(integer)");
        let with = |body: &str| {
            let mut facts = snapshot();
            facts.get_mut(&function).unwrap().insert("body".into(), body.into());
            facts
        };
        let (expected, found) = (snapshot(), with(found));
        let origins = Origins::of([&expected, &with(earlier)]);
        let mut differences = compare(&expected, &found).into_iter();
        differences.any(|difference| origins.may_break_clients(&difference, &expected, &found))
    }

    #[test]
    fn what_an_earlier_version_made_is_no_teams() {
        assert!(!asks("earlier", "earlier"));
        assert!(asks("a team's", "earlier"));
    }
}
