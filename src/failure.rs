//! An error as a person reads it: what failed, and what to do next.

use std::fmt;

/// The exit codes, the same for every command.
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// A check said no: drift, pending migrations, a problem found. Not a failure.
    pub const NO: u8 = 1;
    /// The command line or the configuration can't be understood.
    pub const USAGE: u8 = 2;
    /// The operation failed.
    pub const FAILED: u8 = 3;
    /// Stopped by SIGINT or SIGTERM.
    pub const INTERRUPTED: u8 = 130;
}

/// What failed, on what, and what to do next. `Display` is the first line alone.
#[derive(Debug)]
pub struct Failure {
    what: String,
    excerpt: Vec<String>,
    hint: Option<String>,
    code: u8,
    is_transient: bool,
    source: Option<anyhow::Error>,
}

impl Failure {
    /// An operation that failed: exit code 3.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            excerpt: Vec::new(),
            hint: None,
            code: exit::FAILED,
            is_transient: false,
            source: None,
        }
    }

    /// A command line or configuration that can't be understood: exit code 2.
    pub fn usage(what: impl Into<String>) -> Self {
        Self {
            code: exit::USAGE,
            ..Self::new(what)
        }
    }

    /// Stopped by a signal: exit code 130.
    pub fn interrupted(what: impl Into<String>) -> Self {
        Self {
            code: exit::INTERRUPTED,
            ..Self::new(what)
        }
    }

    /// Adds what to do next.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// Adds lines to be shown below the first, as the place in a file.
    pub fn with_excerpt(self, excerpt: Vec<String>) -> Self {
        Self { excerpt, ..self }
    }

    /// Adds the error below, shown with `--verbose`.
    pub fn because(self, source: impl Into<anyhow::Error>) -> Self {
        Self {
            source: Some(source.into()),
            ..self
        }
    }

    /// Adds what had happened before it failed.
    pub fn after(self, before: &str) -> Self {
        Self {
            what: format!("{}; {before}", self.what),
            ..self
        }
    }

    /// Marks a transient error: trying again may work.
    pub fn transient(self) -> Self {
        Self {
            is_transient: true,
            ..self
        }
    }

    /// Whether trying again may work.
    pub fn is_transient(&self) -> bool {
        self.is_transient
    }

    /// The lines to be shown below the first.
    pub fn excerpt(&self) -> &[String] {
        &self.excerpt
    }

    /// What to do next, where there is something to do.
    pub fn get_hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The process's exit code.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(AsRef::as_ref)
    }
}
