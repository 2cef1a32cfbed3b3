//! A folder and the process that works in it: both go when this program does, even if it is killed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::folder;

/// The pause between two looks at whether a process has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// What the server and its helpers get of this program's environment, which may hold passwords and settings of libpq.
const KEPT_VARIABLES: [&str; 2] = ["PATH", "LD_LIBRARY_PATH"];

/// Removed on drop. A watcher does the same when this program ends in any other way: it is there before the folder.
#[derive(Debug)]
pub(super) struct Guarded {
    watcher: Child,
    input: Option<ChildStdin>,
    process: Option<Child>,
    dir: PathBuf,
    owner: Option<Owner>,
}

/// A user and group of the system.
#[derive(Clone, Copy, Debug)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Guarded {
    /// Makes the folder, which must not exist. Its owner is the user that the server runs as.
    pub(super) fn create(dir: PathBuf) -> Result<Self> {
        let mut watcher = clean("/bin/sh");
        watcher.arg("-c").arg(include_str!("watcher.sh"));
        watcher.arg("sandbox-watcher").arg(&dir);
        watcher
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut watcher = watcher.spawn().context("can't run /bin/sh")?;
        let input = watcher.stdin.take();
        let mut answer = String::new();
        if let Some(output) = watcher.stdout.take() {
            BufReader::new(output).read_line(&mut answer)?;
        }
        if answer.trim() != "made" {
            let mut reason = String::new();
            if let Some(mut errors) = watcher.stderr.take() {
                errors.read_to_string(&mut reason)?;
            }
            watcher.wait()?;
            return Err(folder::unusable(&dir, reason.trim()).into());
        }
        let mut guarded = Self {
            watcher,
            input,
            process: None,
            dir,
            owner: None,
        };
        guarded.owner = server_user(&guarded.dir)?;
        if guarded.owner.is_some() {
            guarded.hand_over(&guarded.dir)?;
            guarded.check_reach()?;
        }
        Ok(guarded)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a new file that the server may read, and nobody else.
    pub(super) fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        self.hand_over(path)
    }

    /// Makes a file or folder the server's.
    fn hand_over(&self, path: &Path) -> io::Result<()> {
        match self.owner {
            Some(Owner { uid, gid }) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }

    /// Whether the server's user gets into the folder: one of those above may be closed to it.
    fn check_reach(&self) -> Result<()> {
        let mut shell = clean("/bin/sh");
        shell.arg("-c").arg("cd \"$1\"").arg("sandbox-reach").arg(&self.dir);
        let status = self.as_owner(&mut shell).stderr(Stdio::null()).status()?;
        if status.success() {
            return Ok(());
        }
        Err(folder::unusable(&self.dir, "the server runs as user nobody, who may not enter it").into())
    }

    fn as_owner<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        match self.owner {
            Some(Owner { uid, gid }) => command.uid(uid).gid(gid),
            None => command,
        }
    }

    /// Starts the process that works in the folder, where none does. It writes to the log.
    pub(super) fn start(&mut self, program: &Path, arguments: &[String]) -> Result<()> {
        let mut gate = clean("/bin/sh");
        gate.arg("-c").arg(include_str!("gate.sh")).arg("sandbox-gate");
        gate.arg(self.log()).arg(program).args(arguments);
        gate.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = self.as_owner(&mut gate).spawn().context("can't run /bin/sh")?;
        let gate = process.stdin.take();
        let id = process.id().to_string();
        self.process = Some(process);
        self.tell(&id)?;
        gate.map_or(Ok(()), |mut gate| writeln!(gate))
            .with_context(|| format!("can't run {}", program.display()))
    }

    fn tell(&mut self, process: &str) -> Result<()> {
        let told = self.input.as_mut().map(|input| writeln!(input, "{process}"));
        told.unwrap_or(Ok(())).context("the sandbox's watcher has ended")
    }

    /// Waits for the end of the process.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus> {
        while let Some(process) = &mut self.process {
            if let Some(status) = process.try_wait()? {
                self.process = None;
                self.tell("")?;
                return Ok(status);
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("nothing runs in the sandbox")
    }

    /// The file that the process writes its messages to.
    fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// `what` failed, with the last lines of the log.
    pub(super) fn failed(&self, what: &str) -> anyhow::Error {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let mut last: Vec<&str> = log.lines().rev().take(5).collect();
        last.reverse();
        anyhow!("{what}: {}", last.join(" | "))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.input.take());
        // The watcher waits for the process, which is gone only once it is reaped here. Waiting for both is what makes
        // "nothing is left" true when this returns.
        while let Ok(None) = self.watcher.try_wait() {
            if let Some(process) = &mut self.process {
                let _ = process.try_wait();
            }
            std::thread::sleep(PAUSE);
        }
        // Somebody may have killed the watcher.
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A command with a clean environment. A group of its own, so that Ctrl-C does not reach it.
fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C");
    for name in KEPT_VARIABLES {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.process_group(0).current_dir("/");
    command
}

/// PostgreSQL refuses to run as root, so root lends it the user and group of `nobody`. `dir`: a folder of this program's.
fn server_user(dir: &Path) -> Result<Option<Owner>> {
    if fs::metadata(dir)?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("can't read /etc/passwd")?;
    let ids = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == "nobody").then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Owner { uid, gid })
    });
    match ids {
        Some(owner) => Ok(Some(owner)),
        None => bail!("PostgreSQL refuses to run as root, and there is no user nobody to lend it"),
    }
}

/// 32 hexadecimal digits that nobody can guess.
pub(super) fn secret() -> Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("can't read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
