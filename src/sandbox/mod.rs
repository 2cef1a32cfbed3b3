//! A temporary PostgreSQL in the shape of a Supabase project: for the demo, the tests, and a look without risk.

mod binaries;
mod folder;
mod guarded;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use tokio::time::timeout;
use tokio_postgres::NoTls;

use binaries::find_bindir;
use guarded::{Guarded, secret};

use crate::retry::{Backoff, retry};

/// SQL that gives the default privileges of each generation of projects; run in a database after [`PROJECT_SQL`].
const GRANTS_OPEN_SQL: &str = include_str!("grants_open.sql");
const GRANTS_CLOSED_SQL: &str = include_str!("grants_closed.sql");
const ROLES_SQL: &str = include_str!("roles.sql");
const PROJECT_SQL: &str = include_str!("project.sql");
const PG_CRON_SQL: &str = include_str!("pg_cron.sql");

/// How long initdb may take, and the server to accept its first connection.
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
    guarded: Guarded,
    port: u16,
    bindir: PathBuf,
    password: String,
}

impl Sandbox {
    /// Starts a server and gives its database `postgres` a Supabase project's shape.
    ///
    /// # Errors
    /// No server binaries on this machine, a TMPDIR that no server can work in, or a server that does not start; its log
    /// is in the message.
    pub async fn start(options: &Options) -> Result<Self> {
        let bindir = find_bindir(options.bindir.as_deref())?;
        let password = secret()?;
        let mut guarded = Guarded::create(folder::path()?)?;
        initdb(&mut guarded, &bindir, &password).await?;
        if options.pg_cron {
            trust_pg_cron(&guarded)?;
        }
        let mut sandbox = Self {
            guarded,
            port: free_port()?,
            bindir,
            password,
        };
        sandbox.start_server(options)?;
        sandbox.wait_until_ready().await?;
        let roles = ROLES_SQL.replace("{password}", &sandbox.password);
        sandbox.execute("postgres", &roles).await?;
        sandbox
            .execute("postgres", "alter database postgres owner to postgres")
            .await?;
        sandbox.shape("postgres", options.grants).await?;
        if options.pg_cron {
            sandbox.execute("postgres", PG_CRON_SQL).await?;
        }
        Ok(sandbox)
    }

    fn start_server(&mut self, options: &Options) -> Result<()> {
        let dir = self.dir().display().to_string();
        let base = [
            format!("port={}", self.port),
            format!("unix_socket_directories=\"{}\"", dir.replace('"', "\"\"")),
            "unix_socket_permissions=0700".into(),
            "listen_addresses=127.0.0.1".into(),
            "max_connections=200".into(),
            "wal_level=logical".into(),
            // A temporary server has nothing to keep through a power cut.
            "fsync=off".into(),
            "full_page_writes=off".into(),
        ];
        let pg_cron = ["shared_preload_libraries=pg_cron".into(), format!("cron.host={dir}")];
        let pg_cron = pg_cron.iter().filter(|_| options.pg_cron);
        let settings = base.iter().chain(pg_cron).chain(&options.settings);
        let mut arguments = vec!["-D".into(), data(&self.guarded)];
        arguments.extend(settings.flat_map(|setting| ["-c".into(), setting.clone()]));
        self.guarded.start(&self.bindir.join("postgres"), &arguments)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let admin = self.admin("postgres");
        let pauses = START_PAUSES.within(START_TIMEOUT);
        let ready = retry(pauses, |_| true, async |_| execute(&admin, "select 1").await);
        let what = "the sandbox's server did not start";
        tokio::select! {
            ready = ready => ready.map_err(|error| error.context(self.guarded.failed(what))),
            _ = self.guarded.ended() => Err(self.guarded.failed(what)),
        }
    }

    /// The connection string of `postgres`, the role that users of the platform have.
    pub fn url(&self) -> String {
        self.url_of("postgres", "postgres")
    }

    /// The connection string of a login role (`postgres`, `authenticator`) for a database of this server.
    pub fn url_of(&self, role: &str, database: &str) -> String {
        let (password, port) = (&self.password, self.port);
        format!("postgresql://{role}:{password}@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// The password of each login role, the superuser included.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The key=value connection string of the superuser, over the server's socket.
    pub fn admin(&self, database: &str) -> String {
        let quoted = |text: &str| text.replace('\\', r"\\").replace('\'', r"\'");
        format!(
            "host='{}' port={} user=supabase_admin password={} dbname='{}'",
            quoted(&self.dir().display().to_string()),
            self.port,
            self.password,
            quoted(database)
        )
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with everything the server writes; its socket and `server.log` are there too.
    pub fn dir(&self) -> &Path {
        self.guarded.dir()
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
        execute(&self.admin(database), sql).await
    }
}

async fn initdb(guarded: &mut Guarded, bindir: &Path, password: &str) -> Result<()> {
    let file = guarded.dir().join("password");
    guarded.write(&file, password)?;
    let arguments = [
        &format!("--pgdata={}", data(guarded)),
        "--username=supabase_admin",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
        "--auth=scram-sha-256",
        &format!("--pwfile={}", file.display()),
    ];
    guarded.start(&bindir.join("initdb"), &arguments.map(Into::into))?;
    match timeout(START_TIMEOUT, guarded.ended()).await {
        Ok(Ok(status)) if status.success() => Ok(fs::remove_file(file)?),
        _ => Err(guarded.failed("initdb failed")),
    }
}

/// Lets pg_cron, which knows no password, connect over the socket: for its jobs' owners, never as the superuser, whose name
/// a role that may write to cron.job can put there.
fn trust_pg_cron(guarded: &Guarded) -> io::Result<()> {
    let file = guarded.dir().join("data/pg_hba.conf");
    let rules = fs::read_to_string(&file)?;
    fs::write(
        &file,
        format!("local all supabase_admin scram-sha-256\nlocal all all trust\n{rules}"),
    )
}

/// The server's own folder, as text: [`folder`] gives no path that is none.
fn data(guarded: &Guarded) -> String {
    guarded.dir().join("data").display().to_string()
}

async fn execute(admin: &str, sql: &str) -> Result<()> {
    let (client, connection) = tokio_postgres::connect(admin, NoTls)
        .await
        .context("can't connect to the sandbox")?;
    let driver = tokio::spawn(connection);
    let done = client.batch_execute(sql).await;
    drop(client);
    // The connection's own end says nothing that the statement did not.
    let _ = driver.await;
    done.context("the sandbox refused a statement of its set-up")
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
