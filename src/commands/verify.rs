//! `sessctl verify`: is the schema still what the migrations make?

use std::io;
use std::str::FromStr;

use anyhow::Result;
use clap::Args as ClapArgs;
use refinery::Migration;
use serde_json::{Value, json};

use super::Context;
use crate::database::Database;
use crate::failure::{Failure, exit};
use crate::migrations::{self, Applied};
use crate::output::{Json, Page, Report, Rows, Style, annotation, one_line};
use crate::schema::{Class, Difference, Found, compare, snapshot};

/// Check, without changing anything, that the schema is what the migrations make
///
/// Exits with 0 if it is, with 1 if migrations are pending or something drifted, with 3 if it could not look.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// Count extra columns, indexes, constraints and rights of other roles as drift too
    #[arg(long)]
    strict: bool,
    /// Accept a trigger or policy of your own, as trigger:NAME or policy:NAME
    #[arg(long, value_name = "KIND:NAME")]
    allow: Vec<Allowed>,
}

/// An object that a team has added on purpose.
#[derive(Clone, Debug)]
struct Allowed {
    object: String,
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((kind @ ("trigger" | "policy"), name)) if !name.is_empty() => Ok(Self {
                object: format!("{kind} {name}"),
            }),
            _ => Err("expected trigger:NAME or policy:NAME".into()),
        }
    }
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// It could not look.
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let database = context.connect("verify").await?;
        let verdict = self.judge(&Found::read(&database).await?, database.target().to_string());
        database.close().await;
        Ok(Box::new(verdict))
    }

    fn judge(&self, found: &Found, target: String) -> Verdict {
        let applied = found.history().unwrap_or_default();
        let ours = migrations::all();
        let pending = |m: &&Migration| applied.iter().all(|a| a.version != m.version());
        let mut verdict = Verdict {
            target,
            version: applied.last().map_or(0, |a| a.version),
            pending: ours
                .iter()
                .filter(pending)
                .map(|m| (m.version(), m.name().to_owned()))
                .collect(),
            drift: applied.iter().filter_map(|a| history_difference(a, &ours)).collect(),
            extra: Vec::new(),
            allowed: Vec::new(),
        };
        // Of a database that sessctl has never been in, the pending migrations say it all.
        if applied.is_empty() && !found.facts().contains_key("schema sessctl") {
            return verdict;
        }
        for difference in compare(&snapshot(), found.facts()) {
            if difference.expected.is_none() && self.allow.iter().any(|allowed| allowed.object == difference.object) {
                verdict.allowed.push(difference);
            } else if difference.class == Class::Drift || self.strict {
                verdict.drift.push(difference);
            } else {
                verdict.extra.push(difference);
            }
        }
        verdict
    }
}

/// What `verify` without options says, in a word.
///
/// # Errors
/// It could not look.
pub async fn is_in_step(database: &Database) -> Result<bool, Failure> {
    let found = Found::read(database).await?;
    let plain = Args {
        strict: false,
        allow: Vec::new(),
    };
    Ok(plain.judge(&found, String::new()).is_in_step())
}

/// What is wrong with a row of the history, if anything is.
fn history_difference(applied: &Applied, ours: &[Migration]) -> Option<Difference> {
    let object = format!("migration V{} {}", applied.version, applied.name);
    let difference = |property: &str, expected: Option<String>, found: &str, note| Difference {
        object: object.clone(),
        property: property.into(),
        expected,
        found: Some(found.into()),
        note: Some(note),
        class: Class::Drift,
    };
    match ours.iter().find(|m| m.version() == applied.version) {
        None => Some(difference(
            "present",
            None,
            &applied.applied_on,
            "a newer sessctl has been here",
        )),
        Some(ours) if !applied.matches(ours) => Some(difference(
            "checksum",
            Some(ours.checksum().to_string()),
            &applied.checksum,
            "another text was applied under this version",
        )),
        Some(_) => None,
    }
}

struct Verdict {
    target: String,
    version: i32,
    pending: Vec<(i32, String)>,
    drift: Vec<Difference>,
    extra: Vec<Difference>,
    allowed: Vec<Difference>,
}

impl Verdict {
    fn is_in_step(&self) -> bool {
        self.pending.is_empty() && self.drift.is_empty()
    }
}

/// One difference in one line.
fn sentence(difference: &Difference) -> String {
    let Difference {
        object,
        property,
        expected,
        found,
        note,
        ..
    } = difference;
    let what = match (expected, found) {
        (Some(_), Some(_)) if property == "present" => format!("{object} is missing"),
        (Some(expected), Some(found)) => format!("{object}: {property} is {found} instead of {expected}"),
        (Some(expected), None) => format!("{object}: {property} is absent instead of {expected}"),
        (None, Some(found)) if property == "present" && found != "yes" => format!("{object} is extra: {found}"),
        (None, _) if property == "present" => format!("{object} is extra"),
        (None, found) => format!("{object}: extra {property}: {}", found.as_deref().unwrap_or_default()),
    };
    match note {
        Some(note) => format!("{what} ({note})"),
        None => what,
    }
}

impl Json for Verdict {
    fn json(&self) -> serde_json::Result<Value> {
        let pending: Vec<Value> = self
            .pending
            .iter()
            .map(|(version, name)| json!({ "version": version, "name": name }))
            .collect();
        Ok(json!({
            "ok": self.is_in_step(),
            "version": self.version,
            "pending": pending,
            "drift": self.drift,
            "extra": self.extra,
            "allowed": self.allowed,
        }))
    }
}

impl Report for Verdict {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        for (version, name) in &self.pending {
            let label = out.paint(Style::Warning, "pending");
            out.raw(&format!("{label}  V{version} {name}"))?;
        }
        let lists = [
            ("drift", Style::Bad, &self.drift),
            ("extra", Style::Dim, &self.extra),
            ("allowed", Style::Dim, &self.allowed),
        ];
        for (label, style, differences) in lists {
            for difference in differences {
                let label = out.paint(style, &format!("{label:7}"));
                out.raw(&format!("{label}  {}", one_line(&sentence(difference))))?;
            }
        }
        let (style, line) = if self.is_in_step() {
            (
                Style::Good,
                format!("in step: the schema is what version {} makes", self.version),
            )
        } else {
            let remedy = if self.pending.is_empty() {
                "put it back, drop what is extra or --allow it; for sessctl's own objects this does it: \
                 drop table sessctl.schema_history, then sessctl migrate"
            } else {
                "run sessctl migrate"
            };
            let line = format!(
                "not in step with this sessctl: {} pending, {} drifted ({}): {remedy}",
                self.pending.len(),
                self.drift.len(),
                self.target
            );
            (Style::Bad, line)
        };
        out.raw(&out.paint(style, &line))
    }

    fn csv(&self) -> Option<Rows> {
        let header = vec!["class", "object", "property", "expected", "found", "note"];
        let mut rows: Vec<Vec<String>> = self
            .pending
            .iter()
            .map(|(version, name)| {
                let object = format!("migration V{version} {name}");
                vec![
                    "pending".into(),
                    object,
                    "present".into(),
                    "yes".into(),
                    "no".into(),
                    String::new(),
                ]
            })
            .collect();
        for (class, differences) in [
            ("drift", &self.drift),
            ("extra", &self.extra),
            ("allowed", &self.allowed),
        ] {
            rows.extend(differences.iter().map(|d| {
                vec![
                    class.into(),
                    d.object.clone(),
                    d.property.clone(),
                    d.expected.clone().unwrap_or_default(),
                    d.found.clone().unwrap_or_default(),
                    d.note.unwrap_or_default().into(),
                ]
            }));
        }
        Some((header, rows))
    }

    fn github(&self) -> Option<Vec<String>> {
        let mut lines: Vec<String> = self
            .pending
            .iter()
            .map(|(version, name)| annotation("error", "pending migration", &format!("V{version} {name}")))
            .collect();
        lines.extend(
            self.drift
                .iter()
                .map(|d| annotation("error", "schema drift", &sentence(d))),
        );
        lines.extend(
            self.extra
                .iter()
                .map(|d| annotation("notice", "extra object", &sentence(d))),
        );
        lines.extend(
            self.allowed
                .iter()
                .map(|d| annotation("notice", "allowed object", &sentence(d))),
        );
        Some(lines)
    }

    fn code(&self) -> u8 {
        if self.is_in_step() { exit::DONE } else { exit::NO }
    }
}
