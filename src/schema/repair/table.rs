//! Tables with their columns, constraints and indexes.

use super::{Difference, Failure, Kind, Later, Object, Planner, Properties, Stage, Statement, Step, ident, parts};

/// What the name of a helping constraint or index ends with, until it takes the place of the one that differs.
const SUFFIX: &str = "_repair";

/// How many characters of a name are ours to use beside it.
const MAX_NAME: usize = 63 - SUFFIX.len();

fn helper(name: &str) -> String {
    let start: String = name.chars().take(MAX_NAME).collect();
    ident(&(start + SUFFIX))
}

impl Planner<'_> {
    pub(super) fn table(&mut self, object: &Object, differing: &[&Difference]) {
        let table = &object.name;
        if self.is_new(object) {
            let text = self.wanted.text(object).trim_end();
            self.add(Stage::Table, format!("creates {object}"), text);
            if !self.situation.is_owner {
                self.owner(object, Stage::Table);
            }
            for (property, wanted) in &self.expected[object] {
                self.table_property(object, property, Some(wanted));
            }
            return;
        }
        for difference in differing {
            let (property, wanted) = (&*difference.property, difference.expected.as_deref());
            match property {
                "owner" => self.owner(object, Stage::Table),
                "persistence" if self.is_small(object) => {
                    self.add(
                        Stage::Table,
                        format!("makes {object} logged"),
                        format!("alter table {table} set logged;"),
                    );
                }
                "persistence" => self.repair.manual.push(Statement {
                    change: format!("make {object} logged: it is rewritten, and every client waits"),
                    sql: format!("alter table {table} set logged;"),
                }),
                _ if self.table_property(object, property, wanted.map(ToOwned::to_owned).as_ref()) => {}
                _ => self.repair.left.push((*difference).clone()),
            }
        }
    }

    /// A property of a table that one statement sets. False: it is none.
    fn table_property(&mut self, object: &Object, property: &str, wanted: Option<&String>) -> bool {
        let table = &object.name;
        let wanted = wanted.map(String::as_str);
        let is_new = self.is_new(object);
        let (change, clause) = match (property, wanted) {
            ("row level security", Some("on")) => ("enables row level security", "enable row level security"),
            ("row level security", _) if !is_new => ("disables row level security", "disable row level security"),
            ("force row level security", Some("off")) if !is_new => {
                ("no longer forces row level security", "no force row level security")
            }
            ("comment", wanted) => {
                self.comment(Stage::Table, object, &format!("table {table}"), wanted);
                return true;
            }
            _ => return false,
        };
        self.add(
            Stage::Table,
            format!("{change} of {object}"),
            format!("alter table {table} {clause};"),
        );
        true
    }

    fn comment(&mut self, stage: Stage, object: &Object, on: &str, wanted: Option<&str>) {
        let text = wanted.map_or("null".into(), postgres_protocol::escape::escape_literal);
        let sql = format!("comment on {on} is {};", text.trim_start());
        self.add(stage, format!("sets the comment of {object}"), sql);
    }

    pub(super) fn column(
        &mut self,
        object: &Object,
        properties: &Properties,
        differing: &[&Difference],
    ) -> Result<(), Failure> {
        let (table, name) = parts(object);
        let column = ident(name);
        let wanted_type = &properties["type"];
        if self.is_new(object) {
            let default = properties
                .get("default")
                .map_or(String::new(), |d| format!(" default {d}"));
            let is_required = properties["nullable"] == "no";
            let not_null = if is_required { " not null" } else { "" };
            let sql =
                format!("alter table {table} add column if not exists {column} {wanted_type}{default}{not_null};");
            if !self.is_small(object) {
                self.refuse_renamed(object, wanted_type, &sql)?;
                // A constant or now() is stored once; anything else is written to each row.
                let is_volatile = default.contains('(') && !default.ends_with("now()");
                if is_volatile || is_required && default.is_empty() {
                    self.repair.manual.push(Statement {
                        change: format!("add {object}: its value in the rows that are there is yours to decide"),
                        sql,
                    });
                    return Ok(());
                }
            }
            self.add(Stage::Column, format!("adds {object}"), sql);
            if let Some(comment) = properties.get("comment") {
                self.comment(
                    Stage::Column,
                    object,
                    &format!("column {table}.{column}"),
                    Some(comment),
                );
            }
            return Ok(());
        }
        let alter = |clause: String| format!("alter table {table} alter column {column} {clause};");
        let find = |property: &str| differing.iter().find(|d| d.property == property);
        if find("identity").is_some() {
            let sql = alter("drop identity if exists".into());
            self.add(Stage::Column, format!("drops the identity of {object}"), sql);
        }
        if find("generated").is_some() {
            let sql = alter("drop expression if exists".into());
            self.add(Stage::Column, format!("makes {object} an ordinary column"), sql);
        }
        if find("type").is_some() {
            let sql = alter(format!("type {wanted_type}"));
            if self.is_small(object) {
                let drop_default = alter("drop default".into());
                self.add(
                    Stage::Column,
                    format!("changes {object} to {wanted_type}"),
                    format!("{drop_default}\n{sql}"),
                );
            } else {
                // The repair makes the views again.
                let is_view = |object: &&Object| object.kind == Kind::View && self.expected.contains_key(object);
                let views: Vec<&str> = self.found.keys().filter(is_view).map(|view| &*view.name).collect();
                self.repair.manual.push(Statement {
                    change: format!("change {object} to {wanted_type}: every row is rewritten, and every client waits"),
                    sql: if views.is_empty() {
                        sql
                    } else {
                        format!("drop view {}; {sql}", views.join(", "))
                    },
                });
            }
        }
        if find("default").is_some() || find("type").is_some() && self.is_small(object) {
            let (change, sql) = match properties.get("default") {
                Some(default) => (
                    format!("sets the default of {object}: {default}"),
                    alter(format!("set default {default}")),
                ),
                None => (format!("drops the default of {object}"), alter("drop default".into())),
            };
            if find("default").is_some() || properties.contains_key("default") {
                self.add(Stage::Column, change, sql);
            }
        }
        match find("nullable").and_then(|d| d.expected.as_deref()) {
            Some("yes") => self.add(
                Stage::Column,
                format!("{object} may be null"),
                alter("drop not null".into()),
            ),
            Some(_) if self.is_small(object) => {
                self.add(
                    Stage::Column,
                    format!("{object} may not be null"),
                    alter("set not null".into()),
                );
            }
            Some(_) => {
                // With a valid check the rows are not read again under the lock that keeps every client out.
                let check = helper(name);
                let (drop, table) = (
                    format!("alter table {table} drop constraint if exists {check};"),
                    &table,
                );
                self.later(
                    Stage::Column,
                    format!("{object} may not be null"),
                    Some(format!(
                        "{drop}\nalter table {table} add constraint {check} check ({column} is not null) not valid;"
                    )),
                    vec![
                        Step::Transaction(format!("alter table {table} validate constraint {check};")),
                        Step::Transaction(format!("{}\n{drop}", alter("set not null".into()))),
                    ],
                    Some(drop.clone()),
                );
            }
            None => {}
        }
        Ok(())
    }

    /// Refuses a column that is missing where one that is not ours may be it.
    fn refuse_renamed(&self, object: &Object, wanted_type: &str, add: &str) -> Result<(), Failure> {
        let (table, name) = parts(object);
        let is_candidate = |(other, properties): &(&Object, &Properties)| {
            other.sessions_column().is_some()
                && !self.expected.contains_key(other)
                && properties.get("type").is_some_and(|is| is == wanted_type)
        };
        let Some((other, _)) = self.found.iter().find(is_candidate) else {
            return Ok(());
        };
        let (_, other) = parts(other);
        Err(Failure::new(format!(
            "column {name} of {table} is missing, and {} may be that column under another name",
            ident(other)
        ))
        .hint(format!(
            "if it is: alter table {table} rename column {} to {}; if not: {add} Then run sessctl migrate --repair; nothing was \
             changed",
            ident(other),
            ident(name)
        )))
    }

    pub(super) fn constraint(&mut self, object: &Object, properties: &Properties, differing: &[&Difference]) {
        let (table, name) = parts(object);
        let (constraint, definition) = (ident(name), &properties["definition"]);
        let key = ["PRIMARY KEY ", "UNIQUE "]
            .into_iter()
            .find_map(|word| Some((word, definition.strip_prefix(word)?)));
        let is_new = self.is_new(object);
        // A key and its index are one; triggers of a foreign key that are disabled can be enabled by a superuser alone.
        let index = Object::new(Kind::Index, object.name.clone());
        let index_differs = key.is_some()
            && self.found.get(&index).and_then(|index| index.get("definition"))
                != self.expected.get(&index).and_then(|index| index.get("definition"));
        let is_replaced = is_new || index_differs || differing.iter().any(|d| d.property != "validated");
        let change = format!("{} {object}: {definition}", if is_new { "adds" } else { "replaces" });
        let drop = format!("alter table {table} drop constraint if exists {constraint};");
        if !is_replaced {
            if !differing.is_empty() {
                let sql = format!("alter table {table} validate constraint {constraint};");
                self.later(
                    Stage::Constraint,
                    format!("validates {object}"),
                    None,
                    vec![Step::Transaction(sql)],
                    None,
                );
            }
        } else if let Some(other) = self.same_constraint(object, properties) {
            let drop_index = key.map_or(String::new(), |_| {
                format!("\ndrop index if exists {};", index_name(&table, name))
            });
            let rename = format!(
                "alter table {table} rename constraint {} to {constraint};",
                ident(&other)
            );
            let change = format!("renames constraint {other} to {name}");
            self.add(Stage::Constraint, change, format!("{drop}{drop_index}\n{rename}"));
        } else if self.is_small(object) {
            let drop_index = key.map_or(String::new(), |_| {
                format!("\ndrop index if exists {};", index_name(&table, name))
            });
            let sql = format!("{drop}{drop_index}\nalter table {table} add constraint {constraint} {definition};");
            self.add(Stage::Constraint, change, sql);
        } else if let Some((word, columns)) = key {
            let unique = helper(name);
            let build = format!("create unique index concurrently if not exists {unique} on {table} {columns};");
            let swap = format!(
                "{drop}\ndrop index if exists public.{constraint};\nalter table {table} add constraint {constraint} {word}using index {unique};"
            );
            let undo = format!("drop index if exists public.{unique};");
            let steps = vec![
                Step::Build {
                    index: unique,
                    sql: build,
                },
                Step::Transaction(swap),
            ];
            self.later(Stage::Constraint, change, None, steps, Some(undo));
        } else {
            // The one that is there stays until the rows are known to fit the other.
            let other = helper(name);
            let drop_other = format!("alter table {table} drop constraint if exists {other};");
            let add = format!("{drop_other}\nalter table {table} add constraint {other} {definition} not valid;");
            let steps = vec![
                Step::Transaction(format!("alter table {table} validate constraint {other};")),
                Step::Transaction(format!(
                    "{drop}\nalter table {table} rename constraint {other} to {constraint};"
                )),
            ];
            self.later(Stage::Constraint, change, Some(add), steps, Some(drop_other));
        }
    }

    /// A constraint of the same table and rule that has a name of its own.
    fn same_constraint(&self, object: &Object, properties: &Properties) -> Option<String> {
        let (table, _) = parts(object);
        let is_same = |(other, there): &(&Object, &Properties)| {
            other.kind == Kind::Constraint
                && !self.expected.contains_key(other)
                && parts(other).0 == table
                && *there == properties
        };
        let (other, _) = self.found.iter().find(is_same)?;
        Some(parts(other).1.to_owned())
    }

    /// A change that begins in the transaction and ends after it.
    fn later(&mut self, stage: Stage, change: String, now: Option<String>, steps: Vec<Step>, undo: Option<String>) {
        if let Some(sql) = now {
            self.add(stage, format!("prepares: {change}"), sql);
        }
        self.repair.later.push(Later { change, steps, undo });
    }

    pub(super) fn index(&mut self, object: &Object, properties: &Properties, differing: &[&Difference]) {
        let (table, name) = parts(object);
        let index = index_name(&table, name);
        let constraint = Object::new(Kind::Constraint, object.name.clone());
        let key = self.expected.get(&constraint);
        let is_valid = differing.iter().all(|d| d.property != "valid");
        let is_other = self.is_new(object) || differing.iter().any(|d| d.property == "definition");
        if let Some(key) = key {
            // The constraint makes it, where it is missing or another one.
            if is_other {
                if self.found.get(&constraint) == Some(key) {
                    self.constraint(&constraint, key, &[]);
                }
            } else if !is_valid {
                let change = format!("builds {object} again, which is invalid");
                if object.is_private() {
                    self.add(Stage::Index, change, format!("reindex index {index};"));
                } else {
                    let sql = format!("reindex index concurrently {index};");
                    self.later(Stage::Index, change, None, vec![Step::Alone(sql)], None);
                }
            }
            return;
        }
        let definition = &properties["definition"];
        let drop = format!("drop index if exists {index};");
        let change = format!("builds {object}");
        if self.is_small(object) {
            self.add(Stage::Index, change, format!("{drop}\n{definition};"));
            return;
        }
        let now = (is_other && !self.is_new(object)).then_some(drop);
        let rest = definition.trim_start_matches("CREATE INDEX ");
        let sql = format!("create index concurrently if not exists {rest};");
        let steps = vec![Step::Build {
            index: name.to_owned(),
            sql,
        }];
        self.later(Stage::Index, change, now, steps, None);
    }
}

/// An index with the schema of its table.
fn index_name(table: &str, name: &str) -> String {
    let schema = table.split('.').next().unwrap_or_default();
    format!("{schema}.{}", ident(name))
}
