//! Functions, views, policies and triggers.

use super::{
    BTreeSet, Class, Dependents, Difference, Facts, Failure, Kind, Object, Planner, Properties, Stage, Wanted, ident,
    parts, policy,
};

/// Properties that `create or replace` can't change.
fn needs_drop(difference: &Difference) -> bool {
    let properties: &[&str] = match difference.object.kind {
        Kind::Function => &["kind", "arguments", "result"],
        Kind::View => &["columns"],
        _ => return false,
    };
    difference.found.is_some() && properties.contains(&&*difference.property)
}

/// The objects that are there and must be dropped before they are made again, or for good, in the order to drop them. Never
/// with CASCADE: sessctl's own objects that use them are made again too.
///
/// # Errors
/// Objects of others use one of them.
pub(super) fn remade(
    wanted: &Wanted,
    expected: &Facts,
    found: &Facts,
    differences: &[Difference],
    dependents: &Dependents,
    is_empty: bool,
) -> Result<Vec<Object>, Failure> {
    let mut remade: BTreeSet<Object> = BTreeSet::new();
    for difference in differences.iter().filter(|d| d.class == Class::Drift) {
        let object = &difference.object;
        let is_ours = expected.contains_key(object);
        let is_former = !is_ours && wanted.dropped().iter().any(|(dropped, _)| dropped == object);
        if is_former && difference.property == "present"
            || is_ours && needs_drop(difference)
            || is_changed(expected, found, object)
        {
            remade.insert(object.clone());
        }
        // The type of a column that views and policies read can't be changed.
        if is_empty && object.sessions_column().is_some() && is_ours && difference.property == "type" {
            let readers = found.keys().filter(|o| matches!(o.kind, Kind::View | Kind::Policy));
            remade.extend(readers.filter(|o| expected.contains_key(o)).cloned());
        }
    }
    // What uses one of these, and what uses that.
    let mut queue: Vec<Object> = remade.iter().cloned().collect();
    let mut others = Vec::new();
    let mut order = Vec::new();
    while let Some(object) = queue.pop() {
        order.retain(|earlier| *earlier != object);
        order.push(object.clone());
        let mut foreign = Vec::new();
        for user in dependents.get(&object).into_iter().flatten() {
            // "trigger NAME on table TABLE"
            let name = user.strip_suffix(" on table public.user_sessions").unwrap_or(user);
            match name.parse::<Object>() {
                Ok(user) if expected.contains_key(&user) => queue.push(user),
                _ => foreign.push(user.as_str()),
            }
        }
        // A trigger goes with its function.
        let call = format!(
            "EXECUTE FUNCTION {}(",
            object.name.split('(').next().unwrap_or_default()
        );
        let calls = |definition: &String| object.kind == Kind::Function && definition.contains(&call);
        let triggers = found.iter().filter(|(trigger, properties)| {
            expected.contains_key(trigger) && properties.get("definition").is_some_and(calls)
        });
        queue.extend(
            triggers
                .map(|(trigger, _)| trigger.clone())
                .filter(|o| o.kind == Kind::Trigger),
        );
        if !foreign.is_empty() {
            others.push(format!(
                "{object} must be made again, and is used by {}",
                foreign.join(", ")
            ));
        }
    }
    if !others.is_empty() {
        return Err(Failure::new(others.join("; ")).hint(
            "drop the objects that use it, run sessctl migrate --repair, and create them again; nothing was changed",
        ));
    }
    order.reverse();
    // A trigger goes before its function.
    order.sort_by_key(|object| object.kind == Kind::Function);
    Ok(order)
}

/// Whether a function in schema sessctl is one of ours with other arguments: ours is missing, and it alone has its name.
fn is_changed(expected: &Facts, found: &Facts, object: &Object) -> bool {
    let name = |object: &Object| object.name.split('(').next().unwrap_or_default().to_owned();
    let is_same = |other: &&Object| other.kind == Kind::Function && name(other) == name(object);
    let mut ours = expected.keys().filter(is_same);
    object.kind == Kind::Function
        && object.is_private()
        && !expected.contains_key(object)
        && ours.any(|ours| !found.contains_key(ours))
}

impl Planner<'_> {
    /// Drops what is made again, and what is dropped for good.
    pub(super) fn drop_objects(&mut self) {
        for object in self.remade.clone() {
            let (table, name) = parts(&object);
            let sql = match object.kind {
                Kind::Policy | Kind::Trigger => format!("drop {} {} on {table};", object.kind, ident(name)),
                Kind::Index => format!("drop index public.{};", ident(name)),
                Kind::Function => format!("drop routine {};", object.name),
                _ => format!("drop {object};"),
            };
            let why = self.wanted.dropped().iter().find(|(dropped, _)| *dropped == object);
            let why = why.map_or(String::new(), |(_, why)| format!(" ({why})"));
            self.add(Stage::Drop, format!("drops {object}{why}"), sql);
        }
    }

    /// A function or a view.
    pub(super) fn routine(&mut self, object: &Object, differing: &[&Difference]) {
        let stage = if object.kind == Kind::View {
            Stage::View
        } else {
            Stage::Function
        };
        let is_new = self.is_new(object);
        if is_new || differing.iter().any(|d| d.property != "owner") {
            let verb = if is_new { "creates" } else { "replaces" };
            let text = self.wanted.text(object).trim_end();
            let position = self.now.iter().position(|(at, statement)| {
                // A view comes before those that read it.
                *at == Stage::View && stage == Stage::View && statement.sql.contains(&format!(" {}", object.name))
            });
            let statement = super::Statement {
                change: format!("{verb} {object}"),
                sql: text.to_owned(),
            };
            match position {
                Some(position) => self.now.insert(position, (stage, statement)),
                None => self.now.push((stage, statement)),
            }
        }
        let is_foreign = differing.iter().any(|d| d.property == "owner");
        if is_foreign || is_new && !self.situation.is_owner {
            self.owner(object, stage);
        }
    }

    pub(super) fn policy(&mut self, object: &Object, properties: &Properties, differing: &[&Difference]) {
        let Some(rest) = policy(properties).filter(|_| self.is_new(object) || !differing.is_empty()) else {
            return;
        };
        let (verb, drop) = self.verb(object, "drop policy");
        let sql = format!(
            "{drop}create policy {} on public.user_sessions as {rest};",
            ident(&object.name)
        );
        self.add(Stage::Policy, format!("{verb} {object}: {rest}"), sql);
    }

    pub(super) fn trigger(&mut self, object: &Object, properties: &Properties, differing: &[&Difference]) {
        let (table, name) = parts(object);
        if self.is_new(object) || differing.iter().any(|d| d.property == "definition") {
            let (verb, drop) = self.verb(object, "drop trigger");
            let definition = &properties["definition"];
            self.add(
                Stage::Trigger,
                format!("{verb} {object}"),
                format!("{drop}{definition};"),
            );
        } else if !differing.is_empty() {
            let sql = format!("alter table {table} enable trigger {};", ident(name));
            self.add(Stage::Trigger, format!("enables {object}"), sql);
        }
    }

    /// The word for making an object, and the statement before it where one is there.
    fn verb(&self, object: &Object, drop: &str) -> (&'static str, String) {
        if self.is_new(object) {
            return ("creates", String::new());
        }
        let (table, name) = parts(object);
        ("replaces", format!("{drop} {} on {table};\n", ident(name)))
    }
}
