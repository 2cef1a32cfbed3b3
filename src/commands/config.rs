//! `sessctl config`: what is in force, and where each value comes from.

use std::io;

use anyhow::Result;
use clap::Args as ClapArgs;
use serde::Serialize;
use serde_json::Value;

use super::Context;
use crate::config::{FoundBy, Origin, Source};
use crate::output::{Page, Report, Rows};

/// Show the settings in force, and where each one comes from
///
/// A flag comes first, then the environment, then sessctl.toml, then the default. The connection string is never shown.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Examples:\n  sessctl config\n  sessctl config --config sessctl.toml --format json")]
pub struct Args {}

#[derive(Serialize)]
struct File {
    path: String,
    found_by: FoundBy,
}

/// A setting with its value in force.
#[derive(Serialize)]
struct Line {
    key: &'static str,
    value: Value,
    source: Source,
    /// The variable, or the file and its line.
    place: Option<String>,
}

/// Where the connection string comes from.
#[derive(Serialize)]
struct Connection {
    /// flag, environment or file.
    source: &'static str,
    /// The flag, the variable or the file.
    place: &'static str,
}

impl From<Origin> for Connection {
    fn from(origin: Origin) -> Self {
        let (source, place) = match origin {
            Origin::Flag => ("flag", "--database-url"),
            Origin::Environment(variable) => ("environment", variable),
            Origin::DotEnv => ("file", ".env"),
        };
        Self { source, place }
    }
}

#[derive(Serialize)]
struct InForce {
    file: Option<File>,
    connection: Option<Connection>,
    settings: Vec<Line>,
}

impl Args {
    /// # Errors
    /// Settings that can't be understood.
    pub fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let settings = context.settings()?;
        let lines = settings.list.into_iter().map(|setting| Line {
            key: setting.key,
            place: setting.source.place().map(ToOwned::to_owned),
            source: setting.source,
            value: setting.value,
        });
        Ok(Box::new(InForce {
            file: settings.file.map(|(path, found_by)| File { path, found_by }),
            connection: context.connection.origin(context.terminal)?.map(Into::into),
            settings: lines.collect(),
        }))
    }
}

/// A value as the file has it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "as in the database".into(),
        Value::Array(texts) => {
            let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
            format!("[{}]", texts.join(", "))
        }
        value => value.to_string(),
    }
}

impl InForce {
    /// Each as key, value and where it comes from.
    fn rows(&self) -> Vec<[String; 3]> {
        let (path, found_by) = match &self.file {
            Some(File { path, found_by }) => (
                path.clone(),
                match found_by {
                    FoundBy::Flag => "--config",
                    FoundBy::Environment => "SESSCTL_CONFIG",
                    FoundBy::Folder => "found",
                },
            ),
            None => ("none".into(), "default"),
        };
        let (connection, place) = match &self.connection {
            Some(connection) => ("not shown", connection.place),
            None => ("none", "default"),
        };
        let mut rows = vec![
            ["file".into(), path, found_by.into()],
            ["connection string".into(), connection.into(), place.into()],
        ];
        rows.extend(self.settings.iter().map(|line| {
            let place = line.place.clone().unwrap_or_else(|| line.source.word().into());
            [line.key.into(), shown(&line.value), place]
        }));
        rows
    }
}

impl Report for InForce {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        let rows = self.rows().into_iter().map(|row| row.map(Into::into).to_vec());
        out.grid(&["setting", "value", "from"], rows.collect())
    }

    fn csv(&self) -> Option<Rows> {
        let rows = self.rows().into_iter().map(|row| row.to_vec());
        Some((vec!["setting", "value", "from"], rows.collect()))
    }
}
