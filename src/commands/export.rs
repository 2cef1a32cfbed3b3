//! `sessctl export`: the schema as a migration of the supabase CLI.

mod folder;

use std::path::PathBuf;
use std::{fs, io};

use anyhow::Result;
use chrono::Utc;
use clap::{Args as ClapArgs, ValueHint};
use serde::Serialize;

use super::Context;
use crate::migrations::{all, declares, export};
use crate::output::{Page, Report, Style};

/// Write the schema as a migration of the supabase CLI
///
/// The file makes the table where it is missing or empty, does nothing where `sessctl migrate` has been, and fails elsewhere before
/// any change. A later release writes a file with what is new. Other files are never changed.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Examples:\n  sessctl export supabase/migrations\n  sessctl export supabase/migrations --quiet")]
pub struct Args {
    /// Folder of the migrations, such as supabase/migrations
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    folder: PathBuf,
}

/// What was written.
#[derive(Serialize)]
struct Exported {
    /// The new file; null where there is nothing new.
    file: Option<String>,
    /// The newest file of an earlier export, if there is one.
    previous: Option<String>,
    /// The version that the files of the folder bring.
    version: i32,
}

impl Args {
    /// # Errors
    /// A folder that is not there or can't be written, or settings that can't be understood.
    pub fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let declared = context.settings()?.declared;
        let found = folder::look(&self.folder)?;
        let previous = found.iter().filter_map(|file| Some((file.version?, file)));
        let previous = previous.max_by_key(|(version, _)| *version);
        let after = previous.map_or(0, |(version, _)| version);
        let previous = previous.map(|(_, file)| file.name.clone());
        let ours = all();
        let newest = ours.last().map_or(0, |migration| migration.version());
        let mut exported = Exported {
            file: None,
            previous,
            version: after.max(newest),
        };
        if after < newest {
            let timestamp = folder::timestamp(Utc::now(), &found)?;
            let file = self.folder.join(format!("{timestamp}_sessctl_v{newest}.sql"));
            folder::write(&file, &export(&ours, after, &declared, &timestamp))?;
            exported.file = Some(file.display().to_string());
        } else if let Some(previous) = &exported.previous
            && after == newest
            && !fs::read_to_string(self.folder.join(previous)).is_ok_and(|text| declares(&text, &declared))
        {
            context.terminal.warn(&format!(
                "{previous} was written with another declaration than that in force; sessctl migrate applies it"
            ));
        }
        Ok(Box::new(exported))
    }
}

impl Report for Exported {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        let line = match (&self.file, &self.previous) {
            (Some(file), None) => format!("wrote {file}: the schema at version {}", self.version),
            (Some(file), Some(previous)) => {
                format!("wrote {file}: from {previous} to version {}", self.version)
            }
            (None, previous) => format!(
                "nothing new: {} is at version {}",
                previous.as_deref().unwrap_or_default(),
                self.version
            ),
        };
        out.line(out.paint(Style::Good, &line))
    }
}
