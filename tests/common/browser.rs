//! A headless browser, for pages that people look at.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::not_run;

/// The first that is in PATH.
const NAMES: [&str; 4] = [
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
];

/// What a page looks like to a browser.
pub struct Browser {
    program: PathBuf,
    folder: tempfile::TempDir,
}

/// What a browser said of a page.
#[derive(Debug)]
pub struct Seen {
    /// The document, after all that it does.
    pub dom: String,
    /// The lines of the console.
    pub console: Vec<String>,
}

/// Which of the two looks of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Light,
    Dark,
}

impl Browser {
    /// One, or none where it is not installed: then `what` is said to be not run.
    pub fn find(what: &str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let programs = NAMES
            .iter()
            .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        let Some(program) = programs.into_iter().find(|program| program.is_file()) else {
            not_run(&format!(
                "{what}: no browser, scripts/install-server --for-tests installs chromium"
            ));
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        Some(Self { program, folder })
    }

    /// A process of its own for a page, with nothing that a network could answer.
    fn command(&self, scheme: Scheme) -> Command {
        let mut command = Command::new(&self.program);
        let data = format!("--user-data-dir={}", self.folder.path().display());
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            &data,
        ]);
        command.args([
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--proxy-server=127.0.0.1:9",
            "--disable-background-networking",
            "--enable-logging=stderr",
        ]);
        let number = match scheme {
            Scheme::Dark => 0,
            Scheme::Light => 1,
        };
        command.arg(format!("--blink-settings=preferredColorScheme={number}"));
        command.stdin(Stdio::null());
        command
    }

    /// Opens a page.
    pub fn open(&self, page: &Path, scheme: Scheme) -> Seen {
        let url = format!("file://{}", page.display());
        let out = self.command(scheme).args(["--dump-dom", &url]).output().unwrap();
        let log = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{log}");
        Seen {
            dom: String::from_utf8(out.stdout).unwrap(),
            console: log
                .lines()
                .filter(|line| line.contains("CONSOLE"))
                .map(ToOwned::to_owned)
                .collect(),
        }
    }

    /// Writes a picture of a page.
    pub fn picture(&self, page: &Path, scheme: Scheme, (width, height): (u32, u32), file: &Path) {
        let url = format!("file://{}", page.display());
        let out = self
            .command(scheme)
            .arg(format!("--window-size={width},{height}"))
            .arg(format!("--screenshot={}", file.display()))
            .arg(url)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
}
