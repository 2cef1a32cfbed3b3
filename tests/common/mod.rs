//! One sandbox for all tests of a process, and a database of its own for each, cloned from a template.

pub mod browser;
pub mod fake_server;
pub mod heartbeats;
pub mod pgbouncer;
pub mod ping_server;
pub mod promtool;
pub mod proxy;
pub mod pty;
pub mod readers;
pub mod running;

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use postgres::{Client, NoTls};
use running::wait_until;
use sessctl::sandbox::{Grants, Options, Sandbox};

pub const BOTH_GENERATIONS: [Grants; 2] = [Grants::Open, Grants::Closed];

/// The script that users pasted.
pub const ORIGINAL_SCRIPT: &str = include_str!("../fixtures/original-script.sql");

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// The server of this process. It goes with the process, whose end its guard sees.
pub fn server() -> &'static Sandbox {
    static SERVER: OnceLock<Sandbox> = OnceLock::new();
    SERVER.get_or_init(|| {
        let options = Options {
            settings: vec!["shared_preload_libraries=".into()],
            ..Options::default()
        };
        block_on(Sandbox::start(&options)).expect("the tests need a PostgreSQL server: run them with make test")
    })
}

/// Says aloud what could not run here, and how many there were: past the harness, which hides what passing tests print.
pub fn not_run(why: &str) {
    use std::io::Write;
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
    let line = format!("NOT RUN ({count} so far): {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Whether each case runs in each setting, as `make test-matrix` has it, and not in one of them by turns.
pub fn is_thorough() -> bool {
    std::env::var_os("SESSCTL_THOROUGH").is_some()
}

/// A connection string as the sandbox writes them.
pub fn url_as(role: &str, password: &str, port: u16, database: &str) -> String {
    format!("postgresql://{role}:{password}@127.0.0.1:{port}/{database}?sslmode=disable")
}

pub fn admin(database: &str) -> Client {
    Client::connect(&server().admin(database), NoTls).unwrap()
}

/// The count that a query gives.
pub fn number(client: &mut Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).unwrap().get(0)
}

/// What a run of the program gave.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(command: &mut Command) -> Self {
        let out = command.stdin(Stdio::null()).output().unwrap();
        let run = Self {
            code: out.status.code().unwrap_or(-1),
            stdout: String::from_utf8(out.stdout).unwrap(),
            stderr: String::from_utf8(out.stderr).unwrap(),
        };
        assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
        run
    }

    /// Expects exit code 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(
            all.contains(text),
            "no {text:?} in stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON: {}\n{}", self.stdout, self.stderr))
    }
}

/// The program, with nothing in its environment that could change what it does.
pub fn sessctl() -> Command {
    clean(env!("CARGO_BIN_EXE_sessctl"))
}

/// The program on a database.
pub fn sessctl_on(url: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
    let mut command = sessctl();
    command.env("DATABASE_URL", url).args(arguments);
    command
}

/// Any program in such an environment.
pub fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let known = name.to_string_lossy().into_owned();
        let is_setting = known.starts_with("SESSCTL_") && known != "SESSCTL_PG_BINDIR";
        if is_setting || known.starts_with("PG") || known.ends_with("_URL") || known.ends_with("_COLOR") {
            command.env_remove(&name);
        }
    }
    command
}

/// A database, dropped with the value.
pub struct Db {
    pub name: String,
}

impl Db {
    /// As a new project has it.
    pub fn fresh(grants: Grants) -> Self {
        let template = match grants {
            Grants::Open => project_template(grants, &OPEN),
            Grants::Closed => project_template(grants, &CLOSED),
        };
        Self::clone_of(template)
    }

    /// A new project with the original script pasted.
    pub fn pasted(grants: Grants) -> Self {
        let db = Self::fresh(grants);
        db.client().batch_execute(ORIGINAL_SCRIPT).unwrap();
        db
    }

    /// As `sessctl migrate` leaves a new project.
    pub fn migrated(grants: Grants) -> Self {
        let template = match grants {
            Grants::Open => migrated_template(grants, &OPEN_MIGRATED),
            Grants::Closed => migrated_template(grants, &CLOSED_MIGRATED),
        };
        Self::clone_of(template)
    }

    /// A new project in another encoding than the platform's.
    pub fn of_encoding(encoding: &str) -> Self {
        let name = Self::next_name();
        let template = format!("template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'");
        create(&name, &template);
        block_on(server().shape(&name, Grants::Open)).unwrap();
        Self { name }
    }

    fn clone_of(template: &str) -> Self {
        let name = Self::next_name();
        create(&name, template);
        Self { name }
    }

    fn next_name() -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub fn url(&self) -> String {
        server().url_of("postgres", &self.name)
    }

    /// The connection string of a role that the sandbox did not make, or of one with another password.
    pub fn url_as(&self, role: &str, password: &str) -> String {
        url_as(role, password, server().port(), &self.name)
    }

    /// A connection as postgres, as users have it.
    pub fn client(&self) -> Client {
        Client::connect(&self.url(), NoTls).unwrap()
    }

    /// A connection as the superuser, whom users never are.
    pub fn admin(&self) -> Client {
        admin(&self.name)
    }

    /// The program on this database.
    pub fn command(&self, arguments: &[&str]) -> Command {
        sessctl_on(self.url(), arguments)
    }

    pub fn sessctl(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.command(arguments))
    }

    /// Waits until the server process of a run of the program fits a condition on its row in pg_stat_activity.
    #[track_caller]
    pub fn wait_for_process(&self, condition: &str) {
        let mut admin = self.admin();
        let sql = format!(
            "select count(*) from pg_stat_activity
             where datname = '{}' and application_name like 'sessctl/%' and {condition}",
            self.name
        );
        wait_until(condition, || number(&mut admin, &sql) > 0);
    }

    /// A connection in the API's way: logged in as authenticator, then the role and the claims of a request.
    pub fn api(&self, role: &str, user: Option<&str>) -> Client {
        let mut client = Client::connect(&server().url_of("authenticator", &self.name), NoTls).unwrap();
        let claims = match user {
            Some(user) => format!(r#"{{"sub":"{user}","role":"{role}"}}"#),
            None => format!(r#"{{"role":"{role}"}}"#),
        };
        client
            .batch_execute(&format!("set role {role}; set request.jwt.claims = '{claims}'"))
            .unwrap();
        client
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        let _ = admin("postgres").batch_execute(&format!("drop database if exists {} with (force)", self.name));
    }
}

static OPEN: OnceLock<String> = OnceLock::new();
static CLOSED: OnceLock<String> = OnceLock::new();
static OPEN_MIGRATED: OnceLock<String> = OnceLock::new();
static CLOSED_MIGRATED: OnceLock<String> = OnceLock::new();

fn create(name: &str, template: &str) {
    let sql = format!("create database {name} template {template} owner postgres");
    admin("postgres").batch_execute(&sql).unwrap();
}

fn project_template(grants: Grants, cell: &'static OnceLock<String>) -> &'static str {
    cell.get_or_init(|| {
        let name = format!("template_{grants:?}").to_lowercase();
        create(&name, "template0");
        block_on(server().shape(&name, grants)).unwrap();
        name
    })
}

fn migrated_template(grants: Grants, cell: &'static OnceLock<String>) -> &'static str {
    cell.get_or_init(|| {
        let name = format!("template_{grants:?}_migrated").to_lowercase();
        let base = match grants {
            Grants::Open => project_template(grants, &OPEN),
            Grants::Closed => project_template(grants, &CLOSED),
        };
        create(&name, base);
        Run::of(
            sessctl()
                .env("DATABASE_URL", server().url_of("postgres", &name))
                .arg("migrate"),
        )
        .ok();
        name
    })
}
