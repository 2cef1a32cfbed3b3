//! A throwaway PostgreSQL in the shape of a Supabase project: for the demo, the tests, and a look without risk.

mod binaries;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use tokio_postgres::NoTls;

use binaries::find_bindir;

use crate::retry::{Backoff, retry};

/// SQL that gives the default privileges of each generation of projects; run in a database after [`PROJECT_SQL`].
const GRANTS_OPEN_SQL: &str = include_str!("grants_open.sql");
const GRANTS_CLOSED_SQL: &str = include_str!("grants_closed.sql");
const ROLES_SQL: &str = include_str!("roles.sql");
const PROJECT_SQL: &str = include_str!("project.sql");
const PG_CRON_SQL: &str = include_str!("pg_cron.sql");
const GUARD: &str = include_str!("guard.sh");
const REAPER: &str = include_str!("reaper.sh");

/// How long a server may take to accept its first connection.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const START_PAUSES: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(40));

/// Which default privileges new objects in `public` get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Grants {
    /// Projects made before 30 May 2026: all rights to the API's roles.
    Open,
    /// Projects made since: no right to read or write.
    #[default]
    Closed,
}

/// What a sandbox is started with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Default privileges in the database `postgres`.
    pub grants: Grants,
    /// The folder of `postgres` and `initdb`; searched for where absent.
    pub bindir: Option<PathBuf>,
    /// Whether pg_cron is loaded and enabled in the database `postgres`, as the dashboard's switch does it.
    pub pg_cron: bool,
    /// Server settings on top of the sandbox's own, as `name=value`.
    pub settings: Vec<String>,
}

/// A running server. Dropping it stops the server and removes all it wrote.
#[derive(Debug)]
pub struct Sandbox {
    guard: Child,
    reaper: Option<Child>,
    dir: PathBuf,
    port: u16,
    bindir: PathBuf,
}

impl Sandbox {
    /// Starts a server and gives its database `postgres` a Supabase project's shape.
    ///
    /// # Errors
    /// No server binaries on this machine, or a server that does not start; its log is in the message.
    pub async fn start(options: &Options) -> Result<Self> {
        let bindir = find_bindir(options.bindir.as_deref())?;
        let owner = server_user()?;
        let dir = tempfile::Builder::new()
            .prefix("sessctl-")
            .tempdir()
            .context("can't create a folder for the sandbox")?
            .keep();
        let prepared = initdb(&bindir, &dir, owner);
        let started = match prepared {
            Ok(()) => Self::spawn(options, bindir, &dir, owner),
            Err(error) => Err(error),
        };
        let sandbox = started.inspect_err(|_| {
            // Nothing runs there yet, and the first error is the one to report.
            let _ = fs::remove_dir_all(&dir);
        })?;
        sandbox.wait_until_ready().await?;
        sandbox.execute("postgres", ROLES_SQL).await?;
        sandbox
            .execute("postgres", "alter database postgres owner to postgres")
            .await?;
        sandbox.shape("postgres", options.grants).await?;
        if options.pg_cron {
            sandbox.execute("postgres", PG_CRON_SQL).await?;
        }
        Ok(sandbox)
    }

    fn spawn(options: &Options, bindir: PathBuf, dir: &Path, owner: Option<(u32, u32)>) -> Result<Self> {
        let port = free_port()?;
        let mut guard = Command::new("/bin/sh");
        guard.arg("-c").arg(GUARD).arg("sandbox-guard").arg(dir);
        guard.arg(bindir.join("postgres")).arg("-D").arg(dir.join("data"));
        let base = [
            format!("port={port}"),
            format!("unix_socket_directories={}", dir.display()),
            "listen_addresses=127.0.0.1".into(),
            "max_connections=200".into(),
            "wal_level=logical".into(),
            // A throwaway server has nothing to keep through a power cut.
            "fsync=off".into(),
            "full_page_writes=off".into(),
        ];
        let pg_cron = [
            "shared_preload_libraries=pg_cron".into(),
            format!("cron.host={}", dir.display()),
        ];
        let pg_cron = pg_cron.iter().filter(|_| options.pg_cron);
        for setting in base.iter().chain(pg_cron).chain(&options.settings) {
            guard.arg("-c").arg(setting);
        }
        let guard = spawn_watcher(run_as(&mut guard, owner))?;
        let reaper = match owner {
            None => None,
            Some(_) => {
                let mut reaper = Command::new("/bin/sh");
                Some(spawn_watcher(
                    reaper.arg("-c").arg(REAPER).arg("sandbox-reaper").arg(dir),
                )?)
            }
        };
        Ok(Self {
            guard,
            reaper,
            dir: dir.to_owned(),
            port,
            bindir,
        })
    }

    /// The connection string of `postgres`, the role that users of the platform have.
    pub fn url(&self) -> String {
        self.url_of("postgres", "postgres")
    }

    /// The connection string of a login role (`postgres`, `authenticator`) for a database of this server.
    pub fn url_of(&self, role: &str, database: &str) -> String {
        format!("postgresql://{role}:postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The key=value connection string of the superuser, over the server's socket.
    pub fn admin(&self, database: &str) -> String {
        format!(
            "host={} port={} user=supabase_admin dbname={database}",
            self.dir.display(),
            self.port
        )
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with everything the server writes; its socket and `server.log` are there too.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of the server's binaries.
    pub fn bindir(&self) -> &Path {
        &self.bindir
    }

    /// Gives a database of this server the shape of a new project.
    ///
    /// # Errors
    /// The server's, where the database is not there or has that shape already.
    pub async fn shape(&self, database: &str, grants: Grants) -> Result<()> {
        self.execute(database, PROJECT_SQL).await?;
        self.execute(database, GRANTS_OPEN_SQL).await?;
        if grants == Grants::Closed {
            self.execute(database, GRANTS_CLOSED_SQL).await?;
        }
        Ok(())
    }

    /// Runs SQL as the superuser.
    ///
    /// # Errors
    /// The server's.
    pub async fn execute(&self, database: &str, sql: &str) -> Result<()> {
        let (client, connection) = tokio_postgres::connect(&self.admin(database), NoTls)
            .await
            .context("can't connect to the sandbox")?;
        let driver = tokio::spawn(connection);
        let done = client.batch_execute(sql).await;
        drop(client);
        // The connection's own end says nothing that the statement did not.
        let _ = driver.await;
        done.context("the sandbox refused a statement of its set-up")
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let pauses = START_PAUSES.within(START_TIMEOUT);
        let ready = retry(
            pauses,
            |_| !self.server_ended(),
            async |_| self.execute("postgres", "select 1").await,
        );
        ready.await.map_err(|error| {
            let log = fs::read_to_string(self.dir.join("server.log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(5).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            error.context(format!("the sandbox's server did not start: {}", last.join(" | ")))
        })
    }

    /// The server removes postmaster.pid when it stops, and has not written it before it starts.
    fn server_ended(&self) -> bool {
        let log = fs::read_to_string(self.dir.join("server.log")).unwrap_or_default();
        log.contains("FATAL") && !self.dir.join("data/postmaster.pid").exists()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Waiting is what makes "nothing left behind" true when this returns.
        for watcher in [Some(&mut self.guard), self.reaper.as_mut()].into_iter().flatten() {
            drop(watcher.stdin.take());
            let _ = watcher.wait();
        }
    }
}

/// PostgreSQL refuses to run as root, so root lends it the user and group of `nobody`.
fn server_user() -> Result<Option<(u32, u32)>> {
    let probe = tempfile::tempfile().context("can't write to the folder for temporary files")?;
    if probe.metadata()?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("can't read /etc/passwd")?;
    let ids = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == "nobody").then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        Some((uid, fields.next()?.parse().ok()?))
    });
    match ids {
        Some(ids) => Ok(Some(ids)),
        None => bail!("PostgreSQL refuses to run as root, and there is no user nobody to lend it"),
    }
}

/// Starts a script that watches for the end of its standard input. A group of its own, so that Ctrl-C reaches it only
/// through that.
fn spawn_watcher(command: &mut Command) -> Result<Child> {
    command.process_group(0).current_dir("/");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().context("can't run /bin/sh")
}

fn run_as(command: &mut Command, owner: Option<(u32, u32)>) -> &mut Command {
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
    command
}

fn initdb(bindir: &Path, dir: &Path, owner: Option<(u32, u32)>) -> Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::chown(dir, Some(uid), Some(gid))?;
    }
    let mut command = Command::new(bindir.join("initdb"));
    command
        .arg("--pgdata")
        .arg(dir.join("data"))
        .args(["--username", "supabase_admin", "--encoding", "UTF8"])
        .args(["--locale", "C", "--no-sync", "--no-instructions"])
        .args(["--auth-local", "trust", "--auth-host", "scram-sha-256"])
        .process_group(0)
        .current_dir("/");
    run_as(&mut command, owner);
    let out = command
        .output()
        .with_context(|| format!("can't run {}", bindir.join("initdb").display()))?;
    if !out.status.success() {
        let stderr = String::from_utf8_lossy(&out.stderr);
        bail!("initdb failed: {}", stderr.trim());
    }
    Ok(())
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
