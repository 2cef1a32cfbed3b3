//! The command that stores a finished part elsewhere.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::part::Finished;
use crate::failure::Failure;

/// How long a command that is told to end may take before it is killed, and after that.
const END_TIMEOUT: Duration = Duration::from_millis(700);

/// How long its output is read once it has ended: a process that it left behind may hold the pipe.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(300);

/// Maximum bytes of a line of its output that are shown.
const MAX_LINE: usize = 500;

/// A command of the shell with %p, a part's path, and %f, the same from the archive's folder on.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Path,
    Relative,
}

/// Why a part is not stored.
#[derive(Debug)]
pub(crate) struct CommandError {
    /// What became of it.
    pub(crate) what: String,
    /// The last line that it wrote.
    pub(crate) last_line: Option<String>,
}

/// How a command that was waited for ended.
pub(crate) enum Ended<T> {
    Stored,
    Failed(CommandError),
    /// It was stopped, for this reason.
    Stopped(T),
}

impl Command {
    /// Understands %p, %f and %%.
    ///
    /// # Errors
    /// Another letter behind %, or neither %p nor %f.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                plain.push(character);
                continue;
            }
            let piece = match characters.next() {
                Some('%') => {
                    plain.push('%');
                    continue;
                }
                Some('p') => Piece::Path,
                Some('f') => Piece::Relative,
                _ => {
                    return Err(
                        "has a % that is none of %p (the part's path), %f (the same from the folder on) and %%".into(),
                    );
                }
            };
            pieces.extend([Piece::Text(std::mem::take(&mut plain)), piece]);
        }
        if pieces.is_empty() {
            return Err("names no part: %p is its path, %f the same from the folder on".into());
        }
        pieces.push(Piece::Text(plain));
        Ok(Self { pieces })
    }

    /// Refuses a folder whose path a shell would not take as it is: everything else in the command is the user's own.
    ///
    /// # Errors
    /// Such a path.
    pub(crate) fn check(&self, dir: &Path) -> Result<(), Failure> {
        let is_plain = |c: char| c.is_alphanumeric() || "/._-+=@,:".contains(c);
        let plain = dir.to_str().is_some_and(|path| path.chars().all(is_plain));
        if plain || !self.pieces.contains(&Piece::Path) {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "the path of the archive has characters that a shell does not take as they are: {}",
            dir.display()
        ))
        .hint("--archive-command puts it into a command: use a folder whose path has letters, digits and / . _ - + = @ , : alone"))
    }

    fn text(&self, part: &Finished) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Path => part.path.display().to_string(),
            Piece::Relative => part.relative.clone(),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// Runs it for a part, and tells each line that it writes. `stop` ends it, with all that it started.
    pub(crate) async fn run<T>(&self, part: &Finished, stop: impl Future<Output = T>, tell: impl Fn(&str)) -> Ended<T> {
        let spawned = tokio::process::Command::new("/bin/sh")
            .arg("-c")
            .arg(self.text(part))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: what it starts ends with it, and a terminal's SIGINT is for sessctl to pass on.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                return Ended::Failed(CommandError {
                    what: format!("could not be started: {error}"),
                    last_line: None,
                });
            }
        };
        let group = Group(child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)));
        let last_line = std::cell::RefCell::new(None);
        let told = |line: String| {
            tell(&line);
            *last_line.borrow_mut() = Some(line);
        };
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut output = Box::pin(async { tokio::join!(lines(stdout, &told), lines(stderr, &told)) });
        let mut is_read = false;
        let mut stop = std::pin::pin!(stop);
        let ended = loop {
            tokio::select! {
                status = child.wait() => break Ok(status),
                reason = &mut stop => break Err(reason),
                _ = &mut output, if !is_read => is_read = true,
            }
        };
        let status = match ended {
            Ok(status) => status,
            Err(reason) => {
                group.signal(Signal::TERM);
                let _ = timeout(END_TIMEOUT, child.wait()).await;
                group.signal(Signal::KILL);
                let _ = timeout(END_TIMEOUT, child.wait()).await;
                return Ended::Stopped(reason);
            }
        };
        if !is_read {
            let _ = timeout(DRAIN_TIMEOUT, &mut output).await;
        }
        drop(output);
        let what = match status {
            Ok(status) if status.success() => {
                // What it left running in the background is its own affair.
                group.forget();
                return Ended::Stored;
            }
            Ok(status) => format!("failed ({status})"),
            Err(error) => format!("could not be waited for: {error}"),
        };
        Ended::Failed(CommandError {
            what,
            last_line: last_line.into_inner(),
        })
    }
}

/// The processes of a command, which are killed with the value.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, signal);
        }
    }

    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Tells each line of a stream, its start where it is long.
async fn lines(stream: Option<impl AsyncRead + Unpin>, told: &impl Fn(String)) {
    let Some(mut stream) = stream else {
        return;
    };
    let (mut line, mut chunk) = (Vec::new(), [0; 4096]);
    let tell = |line: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        line.clear();
        if !text.is_empty() {
            told(text);
        }
    };
    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
        for byte in &chunk[..length] {
            match byte {
                b'\n' | b'\r' => tell(&mut line),
                _ if line.len() < MAX_LINE => line.push(*byte),
                _ => {}
            }
        }
    }
    tell(&mut line);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(command: &str) -> String {
        let part = Finished {
            relative: "m=1/p.parquet".into(),
            path: "/a/m=1/p.parquet".into(),
            sessions: String::new(),
            rows: 0,
            bytes: 0,
            stays: true,
        };
        Command::parse(command).unwrap().text(&part)
    }

    #[test]
    fn letters_behind_a_percent_sign_are_replaced() {
        assert_eq!(
            text("aws s3 cp %p s3://b/%f"),
            "aws s3 cp /a/m=1/p.parquet s3://b/m=1/p.parquet"
        );
        assert_eq!(text("date +%%s; cat '%p'%%p"), "date +%s; cat '/a/m=1/p.parquet'%p");
    }

    #[test]
    fn a_command_that_names_no_part_or_another_letter_is_refused() {
        for command in ["", "true", "cp %x", "cp %p %", "echo 100%% done"] {
            assert!(Command::parse(command).is_err(), "{command}");
        }
    }

    #[test]
    fn a_path_that_a_shell_would_not_take_as_it_is_is_refused() {
        let command = Command::parse("cp %p /x").unwrap();
        assert!(command.check(Path::new("/a/b_c-1.d=é")).is_ok());
        for path in ["/a b", "/a;b", "/$(x)", "/a'b", "/a\"b", "/a\nb", "/a*b", "/a%b"] {
            assert!(command.check(Path::new(path)).is_err(), "{path}");
            assert!(Command::parse("cp here/%f /x").unwrap().check(Path::new(path)).is_ok());
        }
    }
}
