//! The lists that a team declares of its table: which platforms and which end reasons a session may have, each a CHECK. A third
//! one is in [`super::indexes`].

use std::collections::BTreeMap;

use super::{Class, Difference, Facts, Kind, Object, indexes, snapshot};

/// What is declared, by key.
pub type Declared = BTreeMap<String, Vec<String>>;

/// A column whose values are a list of the team's.
#[derive(Debug)]
pub(crate) struct ListSpec {
    /// The key in table `table` of sessctl.toml.
    pub(crate) key: &'static str,
    pub(crate) column: &'static str,
    /// Its CHECK.
    pub(crate) constraint: &'static str,
}

/// Both.
pub(crate) static LISTS: [ListSpec; 2] = [
    ListSpec {
        key: "platforms",
        column: "platform",
        constraint: "user_sessions_platform_check",
    },
    ListSpec {
        key: "end-reasons",
        column: "end_reason",
        constraint: "user_sessions_end_reason_check",
    },
];

impl ListSpec {
    pub(crate) fn object(&self) -> Object {
        Object::new(Kind::Constraint, self.constraint)
    }

    /// The values that a CHECK allows, in its order: `column = ANY (ARRAY[…])` or `column = '…'`, of type text or varchar, as
    /// PostgreSQL prints them. Absent where it is anything else.
    pub(crate) fn parse(&self, definition: &str) -> Option<Vec<String>> {
        let rest = definition.strip_prefix("CHECK ((")?.strip_suffix("))")?;
        let column = self.column;
        let forms = [
            format!("{column} = "),
            format!("({column})::text = "),
            format!("(({column})::character varying)::text = "),
        ];
        let rest = forms.iter().find_map(|form| rest.strip_prefix(form))?;
        let Some(rest) = rest.strip_prefix("ANY (") else {
            let (value, rest) = literal(rest)?;
            return rest.is_empty().then(|| vec![value]);
        };
        let rest = rest.strip_suffix(')')?;
        let rest = match rest.strip_prefix('(') {
            Some(rest) => rest.strip_suffix(")::text[]")?,
            None => rest,
        };
        let mut rest = rest.strip_prefix("ARRAY[")?.strip_suffix(']')?;
        let mut values = Vec::new();
        loop {
            let (value, after) = literal(rest)?;
            values.push(value);
            if after.is_empty() {
                return Some(values);
            }
            rest = after.strip_prefix(", ")?;
        }
    }

    /// A CHECK of these values, as PostgreSQL prints it.
    fn definition(&self, values: &[String]) -> String {
        let literals: Vec<String> = values.iter().map(|value| format!("{}::text", quoted(value))).collect();
        format!("CHECK (({} = ANY (ARRAY[{}])))", self.column, literals.join(", "))
    }

    /// The values of the original script's list.
    pub(crate) fn of_the_script(&self) -> Vec<String> {
        self.of(&snapshot()).unwrap_or_default()
    }

    /// The values that the CHECK of these facts allows. Absent where there is none, or it is no list.
    fn of(&self, facts: &Facts) -> Option<Vec<String>> {
        self.parse(facts.get(&self.object())?.get("definition")?)
    }
}

/// A text as a literal, as PostgreSQL prints it.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\'', "''").replace('\\', r"\\");
    let mark = if text.contains('\\') { "E" } else { "" };
    format!("{mark}'{escaped}'")
}

/// Takes one literal of type text or varchar off the front of a text.
fn literal(text: &str) -> Option<(String, &str)> {
    // A value of type varchar that was made text: ('…'::character varying)::text.
    if let Some(rest) = text.strip_prefix('(') {
        let (value, rest) = literal(rest)?;
        return Some((value, rest.strip_prefix(")::text")?));
    }
    let (text, escapes) = match text.strip_prefix("E'") {
        Some(text) => (text, true),
        None => (text.strip_prefix('\'')?, false),
    };
    let mut value = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((offset, character)) = characters.next() {
        match character {
            '\'' if characters.next_if(|(_, next)| *next == '\'').is_some() => value.push('\''),
            '\'' => {
                let rest = &text[offset + 1..];
                let rest = ["::text", "::character varying"]
                    .iter()
                    .find_map(|cast| rest.strip_prefix(cast))?;
                return Some((value, rest));
            }
            '\\' if escapes => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

/// The values of `these` that `others` lacks.
pub(crate) fn without(these: &[String], others: &[String]) -> Vec<String> {
    these.iter().filter(|value| !others.contains(value)).cloned().collect()
}

/// Whether they are the same, in whatever order.
pub(crate) fn is_same(these: &[String], others: &[String]) -> bool {
    without(these, others).is_empty() && without(others, these).is_empty()
}

/// What migrate leaves as it is: a CHECK that is there.
pub(crate) fn keep(expected: &mut Facts, found: &Facts) {
    for spec in &LISTS {
        let there = found
            .get(&spec.object())
            .and_then(|properties| properties.get("definition"));
        if let (Some(wanted), Some(there)) = (expected.get_mut(&spec.object()), there) {
            wanted.insert("definition".into(), there.clone());
        }
    }
}

/// Makes of the expected facts what `in_force`, which was declared and applied, asks for; where nothing was declared, the list
/// that is there, if it has the script's values at least. The notes are about values that nobody declared, and about a
/// declaration (`wanted`) that is not in force.
pub(crate) fn expect(expected: &mut Facts, found: &Facts, in_force: &Declared, wanted: &Declared) -> Vec<Difference> {
    let script = snapshot();
    let mut notes: Vec<Difference> = indexes::expect_without(expected, in_force, wanted)
        .into_iter()
        .collect();
    for spec in &LISTS {
        let object = spec.object();
        let there = spec.of(found);
        let declared = in_force.get(spec.key);
        let list = declared.cloned().or_else(|| spec.of(&script)).unwrap_or_default();
        let mut note = |property: &str, expected: Option<&[String]>, found: &[String], note| {
            notes.push(Difference {
                object: object.clone(),
                property: property.into(),
                expected: expected.map(|values| values.join(", ")),
                found: Some(found.join(", ")),
                note: Some(note),
                class: Class::Extra,
            });
        };
        let mut definition = spec.definition(&list);
        if let Some(there) = &there {
            let more = without(there, &list);
            let is_as_expected = without(&list, there).is_empty() && (more.is_empty() || declared.is_none());
            if is_as_expected {
                definition = found[&object]["definition"].clone();
                if !more.is_empty() {
                    note(VALUES, None, &more, "not declared: name all values in sessctl.toml");
                }
            }
        }
        if let Some(properties) = expected.get_mut(&object) {
            properties.insert("definition".into(), definition);
        }
        let current = declared.or(there.as_ref());
        if let (Some(wanted), Some(current)) = (wanted.get(spec.key), current)
            && !is_same(wanted, current)
        {
            note(DECLARED, Some(wanted), current, NOT_IN_FORCE);
        }
    }
    notes
}

/// The property of a CHECK that is about values which nobody declared.
pub(super) const VALUES: &str = "values";

/// The property of a CHECK that is about a declaration which is not in force.
pub(crate) const DECLARED: &str = "declared";

/// What is said of such a declaration.
pub(super) const NOT_IN_FORCE: &str = "sessctl.toml is not what is in force: run sessctl migrate";

#[cfg(test)]
mod tests {
    use super::*;

    const PLATFORMS: &ListSpec = &LISTS[0];

    #[test]
    fn lists_are_read_as_the_server_prints_them() {
        for (definition, values) in [
            ("CHECK ((platform = 'web'::text))", &["web"][..]),
            (
                "CHECK ((platform = ANY (ARRAY['web'::text, 'a b'::text])))",
                &["web", "a b"],
            ),
            (
                "CHECK (((platform)::text = ANY ((ARRAY['web'::character varying, 'it''s'::character varying])::text[])))",
                &["web", "it's"],
            ),
            (
                "CHECK (((platform)::text = ANY (ARRAY[('web'::character varying)::text, ('b'::character varying)::text])))",
                &["web", "b"],
            ),
            ("CHECK (((platform)::text = 'web'::text))", &["web"]),
            (
                r"CHECK ((platform = ANY (ARRAY[E'a\\b''c'::text, ', '::text])))",
                &[r"a\b'c", ", "],
            ),
            ("CHECK ((platform = ''::text))", &[""]),
        ] {
            assert_eq!(
                PLATFORMS.parse(definition).as_deref(),
                Some(&*values.iter().map(ToString::to_string).collect::<Vec<_>>()),
                "{definition}"
            );
        }
    }

    #[test]
    fn another_check_is_no_list() {
        for definition in [
            "CHECK ((platform <> ''::text))",
            "CHECK ((status = 'web'::text))",
            "CHECK ((platform = ALL (ARRAY['web'::text])))",
            "CHECK ((platform = ANY (ARRAY['web'::text, NULL::text])))",
            "CHECK ((platform = ANY (ARRAY['web'::text, lower('b'::text)])))",
            "CHECK ((platform = ANY (ARRAY['web'::text]))) NO INHERIT",
            "CHECK (((platform = 'web'::text) OR (platform = 'b'::text)))",
            "CHECK ((platform = ANY (ARRAY[]::text[])))",
            "CHECK ((platform = ANY ('{web}'::text[])))",
            "CHECK ((platform = 'web'::public.kind))",
            "CHECK ((platform = 'web'::text) AND (platform = 'b'::text))",
            "UNIQUE (platform)",
        ] {
            assert_eq!(PLATFORMS.parse(definition), None, "{definition}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let values: Vec<String> = ["web", "it's", r"back\slash", "a', 'b", ""].map(Into::into).into();
        assert_eq!(PLATFORMS.parse(&PLATFORMS.definition(&values)), Some(values));
    }

    #[test]
    fn the_scripts_lists_are_those_of_the_snapshot() {
        for spec in &LISTS {
            let list = spec.of(&snapshot()).unwrap();
            assert_eq!(list.len(), 5, "{list:?}");
            assert_eq!(spec.definition(&list), snapshot()[&spec.object()]["definition"]);
        }
    }
}
