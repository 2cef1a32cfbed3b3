//! Where the connection string comes from, and in what order.

use std::path::Path;

use anyhow::Result;
use clap::Args as ClapArgs;

use crate::database::Target;
use crate::failure::Failure;

const VARIABLES: [&str; 2] = ["DATABASE_URL", "SUPABASE_DB_URL"];

/// The flags that say which database, and how to reach it.
#[derive(ClapArgs, Clone, Debug, Default)]
pub struct Args {
    /// Connection string, a URL or key=value pairs. It shows in `ps` and in the shell's history: prefer DATABASE_URL
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
}

impl Args {
    /// The database these flags, the environment and a `.env` file name.
    ///
    /// # Errors
    /// No connection string anywhere, or one that can't be understood; never with any part of it in the message.
    pub fn target(&self) -> Result<Target> {
        let text = match &self.database_url {
            Some(text) => text.clone(),
            None => find(|name| std::env::var(name).ok(), Path::new(".env"))?,
        };
        Target::parse(&text)
    }
}

/// The environment comes first; a `.env` file counts only where the environment has neither variable.
fn find(environment: impl Fn(&str) -> Option<String>, file: &Path) -> Result<String> {
    let given = |text: &String| !text.trim().is_empty();
    if let Some(text) = VARIABLES.iter().find_map(|name| environment(name).filter(given)) {
        return Ok(text);
    }
    let entries: Vec<(String, String)> = match dotenvy::from_path_iter(file) {
        // Its error shows the line, which may hold the password.
        Ok(entries) => entries.collect::<Result<_, _>>().map_err(|_| {
            Failure::usage(".env has a line that can't be read")
                .remedy("each line is NAME=value; put a value with spaces or # into single quotes")
        })?,
        Err(_) => Vec::new(),
    };
    let in_file = |name: &&str| {
        let entry = entries.iter().find(|(key, text)| key == *name && given(text));
        entry.map(|(_, text)| text.clone())
    };
    VARIABLES.iter().find_map(|name| in_file(&name)).ok_or_else(|| {
        Failure::usage("no database named")
            .remedy(
                "set DATABASE_URL (or SUPABASE_DB_URL) in the environment or in a .env file, or give --database-url; \
                 the string is in the Supabase dashboard under Connect",
            )
            .into()
    })
}
