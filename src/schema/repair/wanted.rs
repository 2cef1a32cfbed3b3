//! What a version of the schema is: its facts, the texts of its objects, and what its migrations drop.

use std::collections::BTreeMap;

use super::super::{Declared, Facts, Found, Kind, LISTS, Object, Origins, expect, snapshot};

/// The files of `src/schema/objects/` by their names: `sessctl.cleanup`, `tables/sessctl.run`.
const OBJECTS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/objects.rs"));

/// A version of the schema.
#[derive(Clone, Debug)]
pub struct Wanted {
    facts: Facts,
    texts: BTreeMap<String, String>,
    declared: Declared,
    /// Objects of earlier schemas, and why they went.
    dropped: Vec<(Object, String)>,
    /// What sessctl made at some time.
    origins: Origins,
}

impl Wanted {
    /// That of this binary.
    pub(crate) fn of_this_version() -> Self {
        let texts = OBJECTS.iter().map(|(name, text)| ((*name).into(), (*text).into()));
        Self {
            facts: snapshot(),
            texts: texts.collect(),
            declared: Declared::new(),
            dropped: Vec::new(),
            origins: Origins::default(),
        }
    }

    /// With the lists that a team declares.
    pub(crate) fn declaring(mut self, declared: &Declared) -> Self {
        self.declared.clone_from(declared);
        self
    }

    /// With other facts, and with other texts under some names.
    pub(crate) fn with(mut self, facts: Facts, texts: impl IntoIterator<Item = (String, String)>) -> Self {
        self.facts = facts;
        self.texts.extend(texts);
        self
    }

    /// With the objects that its migrations drop.
    pub(crate) fn without(mut self, dropped: Vec<(Object, String)>) -> Self {
        self.dropped = dropped;
        self
    }

    /// After these versions.
    pub(crate) fn after<'a>(mut self, versions: impl IntoIterator<Item = &'a Facts>) -> Self {
        self.origins = Origins::of(versions);
        self
    }

    /// What should be there. The lists are those in force; where a CHECK of one is missing, those that are declared.
    pub(crate) fn facts(&self, found: &Found) -> Facts {
        let mut in_force = found.declared(&self.declared);
        for spec in LISTS.iter().filter(|spec| !found.facts().contains_key(&spec.object())) {
            if let Some(list) = self.declared.get(spec.key) {
                in_force.entry(spec.key.into()).or_insert_with(|| list.clone());
            }
        }
        let mut facts = self.facts.clone();
        expect(&mut facts, found.facts(), &in_force, &Declared::new());
        facts
    }

    pub(super) fn origins(&self) -> &Origins {
        &self.origins
    }

    pub(super) fn dropped(&self) -> &[(Object, String)] {
        &self.dropped
    }

    /// The statement that makes a table, view or function.
    pub(super) fn text(&self, object: &Object) -> &str {
        let name = object.name.split('(').next().unwrap_or_default();
        let file = match object.kind {
            Kind::Table => format!("tables/{name}"),
            _ => name.to_owned(),
        };
        self.texts.get(&file).map_or("", String::as_str)
    }
}
