//! Owners and rights.

use std::collections::BTreeMap;

use super::{Class, Difference, Grant, Kind, Object, Planner, Properties, Stage, ident, parts, role};

/// What a right is on, for a statement; for a column with the list of it behind the right.
fn target(object: &Object) -> (String, String) {
    match object.kind {
        Kind::Column => {
            let (table, column) = parts(object);
            (format!("table {table}"), format!(" ({})", ident(column)))
        }
        Kind::View => (format!("table {}", object.name), String::new()),
        // A function or a procedure.
        Kind::Function => (format!("routine {}", object.name), String::new()),
        _ => (object.to_string(), String::new()),
    }
}

/// A right that is granted again.
struct Lost<'a> {
    right: &'a str,
    role: &'a str,
    is_grantable: bool,
}

impl Planner<'_> {
    /// The rights on an object; of a new one, all of them.
    pub(super) fn rights(&mut self, object: &Object, properties: &Properties, differing: &[&Difference]) {
        let (on, column) = target(object);
        // (verb, role) → rights, so that each is one line.
        let mut grants: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
        let mut add = |verb, right: &str, to: &str| {
            grants
                .entry((verb, role(to)))
                .or_default()
                .push(format!("{right}{column}"));
        };
        let holds_rights = matches!(object.kind, Kind::Schema | Kind::Table | Kind::View | Kind::Function);
        if holds_rights && self.is_new(object) {
            for right in properties.keys().filter_map(|property| Grant::of(property)) {
                add("grant", right.right, right.role);
            }
            // Those of a team's roles on what is dropped first.
            for (right, column) in self.lost_rights(object) {
                let verb = if right.is_grantable {
                    "grant with grant option"
                } else {
                    "grant"
                };
                let column = column.map_or(String::new(), |name| format!(" ({})", ident(name)));
                add(verb, &format!("{}{column}", right.right), right.role);
            }
            let api = self.situation.api_roles.join(", ");
            self.add(
                Stage::Right,
                format!("sets the rights on {object}"),
                format!("revoke all on {on} from {api};"),
            );
        }
        for difference in differing.iter().filter(|d| d.class == Class::Drift) {
            let (wanted, is) = (difference.expected.as_deref(), difference.found.as_deref());
            if difference.property == "owner lacks" {
                let owner = &self.situation.owner;
                let rights = is.unwrap_or_default();
                let sql = format!("grant {rights} on {on} to {owner};");
                self.add(Stage::Schema, format!("grants {rights} on {object} to its owner"), sql);
                continue;
            }
            let Some(Grant { right, role: to }) = Grant::of(&difference.property) else {
                continue;
            };
            match (
                right
                    .strip_prefix("default ")
                    .and_then(|right| right.split_once(" on ")),
                wanted,
                is,
            ) {
                (Some((right, kind)), None, _) => {
                    let (owner, to) = (&self.situation.owner, role(to));
                    let sql = format!(
                        "alter default privileges for role {owner} in {object} revoke {right} on {kind} from {to};"
                    );
                    self.add(
                        Stage::Right,
                        format!("revokes default {right} on {kind} in {object} from {to}"),
                        sql,
                    );
                }
                (None, Some(_), None) => add("grant", right, to),
                (None, Some(_), Some(_)) => add("revoke grant option for", right, to),
                (None, None, _) => add("revoke", right, to),
                _ => self.repair.left.push((*difference).clone()),
            }
        }
        for ((verb, role), rights) in grants {
            let rights = rights.join(", ");
            let (change, sql) = match verb {
                "grant" => (
                    format!("grants {rights} on {object} to {role}"),
                    format!("grant {rights} on {on} to {role};"),
                ),
                "grant with grant option" => (
                    format!("grants {rights} on {object} to {role} with grant option"),
                    format!("grant {rights} on {on} to {role} with grant option;"),
                ),
                "revoke" => (
                    format!("revokes {rights} on {object} from {role}"),
                    format!("revoke {rights} on {on} from {role};"),
                ),
                _ => {
                    let each = rights
                        .split(", ")
                        .map(|right| format!("revoke grant option for {right} on {on} from {role};"));
                    (
                        format!("revokes the grant option for {rights} on {object} from {role}"),
                        each.collect::<Vec<_>>().join("\n"),
                    )
                }
            };
            self.add(Stage::Right, change, sql);
        }
    }

    /// Rights of others than the API's roles that go with an object which is dropped and made again, each with its column.
    fn lost_rights(&self, object: &Object) -> Vec<(Lost<'_>, Option<&str>)> {
        // A function with other arguments goes too.
        let name = |object: &Object| object.name.split('(').next().unwrap_or_default().to_owned();
        let is_former = |other: &Object| {
            other.kind == Kind::Function
                && other.kind == object.kind
                && self.remade.contains(other)
                && !self.expected.contains_key(other)
                && name(other) == name(object)
        };
        // The new view has this column too.
        let columns = self.expected.get(object).and_then(|view| view.get("columns"));
        let is_column = |other: &Object| {
            let (view, column) = parts(other);
            other.kind == Kind::Column
                && object.kind == Kind::View
                && self.remade.contains(object)
                && view == object.name
                && columns.is_some_and(|columns| columns.split(", ").any(|text| text.split(' ').next() == Some(column)))
        };
        let mut lost = Vec::new();
        for (other, properties) in self.found {
            let column = is_column(other).then(|| parts(other).1);
            if other != object && !is_former(other) && column.is_none() {
                continue;
            }
            for (property, value) in properties {
                if let Some(Grant { right, role }) = Grant::of(property).filter(|grant| !self.is_api_role(grant.role)) {
                    let is_grantable = value != "yes";
                    lost.push((
                        Lost {
                            right,
                            role,
                            is_grantable,
                        },
                        column,
                    ));
                }
            }
        }
        lost
    }

    fn is_api_role(&self, name: &str) -> bool {
        self.situation.api_roles.contains(&role(name))
    }

    /// Gives an object to the owner of schema sessctl.
    pub(super) fn owner(&mut self, object: &Object, stage: Stage) {
        let owner = &self.situation.owner;
        let kind = if object.kind == Kind::Function {
            "routine".into()
        } else {
            object.kind.to_string()
        };
        let sql = format!("alter {kind} {} owner to {owner};", object.name);
        self.add(stage, format!("gives {object} to {owner}"), sql);
    }
}
