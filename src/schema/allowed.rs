//! What a team has added on purpose, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::difference::API_ROLES;
use super::{Class, Difference, Grant, Kind, Object};

/// An addition of the team's, written as `KIND:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// An object, or what a team may set of one of ours.
    Object(Object),
    /// A right of a role that is none of the API's, on whatever.
    Grant {
        /// As the role is called.
        role: String,
        /// In lower case.
        right: String,
    },
    /// A publication that has the table.
    Publication(String),
    /// A table that inherits from the table.
    Child(String),
}

impl FromStr for Allowed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected KIND:NAME, as in trigger:audit, column:app_version or grant:ROLE:RIGHT";
        let (kind, name) = text
            .split_once(':')
            .filter(|(_, name)| !name.is_empty())
            .ok_or(expected)?;
        match kind {
            "publication" => Ok(Self::Publication(name.into())),
            "child" => Ok(Self::Child(name.into())),
            "grant" => {
                let (role, right) = name.rsplit_once(':').ok_or("expected grant:ROLE:RIGHT")?;
                if role.is_empty() || right.is_empty() {
                    return Err("expected grant:ROLE:RIGHT");
                }
                if API_ROLES.iter().any(|api| api.eq_ignore_ascii_case(role)) {
                    return Err("rights of the API's roles are never accepted");
                }
                Ok(Self::Grant {
                    role: role.into(),
                    right: right.to_lowercase(),
                })
            }
            kind => match kind.parse() {
                Ok(Kind::Schema | Kind::Role | Kind::Migration) | Err(_) => Err(expected),
                Ok(kind) => Ok(Self::Object(Object::new(kind, name))),
            },
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(Object { kind, name }) => write!(f, "{kind}:{name}"),
            Self::Grant { role, right } => write!(f, "grant:{role}:{right}"),
            Self::Publication(name) => write!(f, "publication:{name}"),
            Self::Child(name) => write!(f, "child:{name}"),
        }
    }
}

impl Serialize for Allowed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Allowed {
    /// Whether it is about this difference. `is_ours`: the migrations make the object.
    fn is_about(&self, difference: &Difference, is_ours: bool) -> bool {
        let Difference { object, property, .. } = difference;
        if let Some(grant) = Grant::of(property) {
            return matches!(self, Self::Grant { role, right } if grant.role == role && grant.right == right);
        }
        match self {
            // What is drift of an object of ours is not accepted by the object's name.
            Self::Object(allowed) => {
                let may_be = difference.class == Class::Extra || !is_ours && difference.expected.is_none();
                may_be && names(allowed, object)
            }
            Self::Publication(name) => property == "publications" && listed(difference).any(|item| item == name),
            Self::Child(name) => {
                let is_it = |item: &str| item == name || item.strip_prefix("public.") == Some(name);
                property == "children" && listed(difference).any(is_it)
            }
            Self::Grant { .. } => false,
        }
    }
}

/// The objects that a property lists.
fn listed(difference: &Difference) -> impl Iterator<Item = &str> {
    difference.found.iter().flat_map(|list| list.split(", "))
}

/// Whether this is the object's name: as verify prints it, or without the schema, the table, or the arguments of a function.
fn names(allowed: &Object, object: &Object) -> bool {
    let Object { kind, name } = object;
    if allowed.kind != *kind {
        return false;
    }
    let prefix = if *kind == Kind::Column {
        "public.user_sessions."
    } else {
        "public."
    };
    let short = name.strip_prefix(prefix).unwrap_or(name);
    let shorter = match kind {
        Kind::Function => short.split('(').next(),
        Kind::Rule => short.strip_suffix(" on public.user_sessions"),
        _ => None,
    };
    [Some(name.as_str()), Some(short), shorter].contains(&Some(&allowed.name))
}

/// Whether all of a difference is allowed, and which of `allow` are about it, by index.
pub(super) fn accept(allow: &[Allowed], difference: &Difference, is_ours: bool) -> (bool, Vec<usize>) {
    let about = |(index, allowed): (usize, &Allowed)| allowed.is_about(difference, is_ours).then_some(index);
    let used: Vec<usize> = allow.iter().enumerate().filter_map(about).collect();
    let by_name = used.iter().any(|index| matches!(allow[*index], Allowed::Object(_)));
    let is_accepted = match (Grant::of(&difference.property), &*difference.property) {
        // A role that may pass the right on can give it to the API's roles.
        (Some(grant), _) => {
            let is_plain = difference.expected.is_none() && difference.found.as_deref() == Some("yes");
            !used.is_empty() && is_plain && !API_ROLES.contains(&grant.role)
        }
        (None, "publications" | "children") => {
            let is_allowed = |item: &str| {
                let one = Difference {
                    found: Some(item.to_owned()),
                    ..difference.clone()
                };
                used.iter().any(|index| allow[*index].is_about(&one, is_ours))
            };
            by_name || !used.is_empty() && listed(difference).all(is_allowed)
        }
        _ => by_name,
    };
    (is_accepted, used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_and_read_the_same() {
        for text in [
            "trigger:audit",
            "policy:Support: reads all",
            "column:app_version",
            "foreign table:x",
            "function:public.f(integer)",
            "grant:sessctl_ci:select",
            "grant:a:b:default select on tables",
            "publication:realtime",
            "child:public.kid",
        ] {
            assert_eq!(text.parse::<Allowed>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "audit",
            "trigger:",
            "thing:x",
            "schema:sessctl",
            "role:anon",
            "migration:V1",
            "grant:ci",
            "grant::select",
            "grant:ci:",
            "grant:anon:select",
            "grant:PUBLIC:select",
            "grant:public:execute",
            "grant:Authenticated:select",
        ] {
            assert!(text.parse::<Allowed>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_object_is_named_with_or_without_its_schema_and_arguments() {
        for (text, object, is_it) in [
            ("column:a", "column public.user_sessions.a", true),
            ("column:public.user_sessions.a", "column public.user_sessions.a", true),
            ("column:a", "column sessctl.run.a", false),
            ("function:f", "function public.f(integer)", true),
            ("function:f(integer)", "function public.f(integer)", true),
            ("function:f(text)", "function public.f(integer)", false),
            ("rule:r", "rule r on public.user_sessions", true),
            ("rule:r", "rule r on public.active_sessions_summary", false),
            ("trigger:t", "trigger t on public.active_sessions_summary", false),
            ("table:sessctl.stash", "table sessctl.stash", true),
            ("index:a", "constraint a", false),
        ] {
            let Allowed::Object(allowed) = text.parse().unwrap() else {
                panic!("{text}");
            };
            assert_eq!(names(&allowed, &object.parse().unwrap()), is_it, "{text}");
        }
    }
}
