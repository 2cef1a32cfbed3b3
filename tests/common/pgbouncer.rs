//! Debian's pgbouncer before the server of the tests: one server connection for each database, no help with prepared
//! statements, as the older poolers are.

use std::fs;
use std::io::{Read, Seek};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::running::wait_until;
use super::{server, url_as};

/// Where Debian puts it: /usr/sbin is not in everybody's PATH.
const BINARY: &str = "/usr/sbin/pgbouncer";

/// When a client gives its server connection back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Session,
    Transaction,
}

pub const BOTH_MODES: [Mode; 2] = [Mode::Session, Mode::Transaction];

/// A running pgbouncer. It ends with the value.
pub struct PgBouncer {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl PgBouncer {
    /// None, said aloud, where pgbouncer is not installed; a failure in CI, which installs it.
    pub fn start(mode: Mode) -> Option<Self> {
        if !Path::new(BINARY).is_file() {
            assert!(
                std::env::var_os("CI").is_none(),
                "{BINARY} is missing: apt-get install pgbouncer"
            );
            crate::common::not_run(&format!(
                "{BINARY} is missing, so nothing ran through a pooler; apt-get install pgbouncer"
            ));
            return None;
        }
        let dir = tempfile::Builder::new().prefix("sessctl-pgbouncer-").tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let users = dir.path().join("users.txt");
        let config = dir.path().join("pgbouncer.ini");
        fs::write(&users, format!("\"postgres\" \"{}\"\n", server().password())).unwrap();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port} pool_size=1\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {users}\npool_mode = {mode}\nmax_client_conn = 100\n\
             max_db_connections = 1\nreserve_pool_size = 0\n",
            server_port = server().port(),
            users = users.display(),
            mode = format!("{mode:?}").to_lowercase(),
        );
        fs::write(&config, settings).unwrap();
        let mut command = Command::new(BINARY);
        // The server's folder belongs to whom servers here run as: pgbouncer refuses root as the server does.
        let owner = fs::metadata(server().dir()).unwrap();
        for path in [dir.path(), users.as_path(), config.as_path()] {
            std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        if fs::metadata("/proc/self").is_ok_and(|own| own.uid() != owner.uid()) {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let mut log = tempfile::tempfile().unwrap();
        command
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.try_clone().unwrap());
        let child = command.current_dir("/").spawn().unwrap();
        let mut pooler = Self { child, port, _dir: dir };
        wait_until("pgbouncer takes connections", || {
            if pooler.child.try_wait().unwrap().is_some() {
                let mut text = String::new();
                log.rewind().unwrap();
                log.read_to_string(&mut text).unwrap();
                panic!("pgbouncer did not start: {text}");
            }
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        Some(pooler)
    }

    /// The connection string of `postgres` through it.
    pub fn url(&self, database: &str) -> String {
        url_as("postgres", server().password(), self.port, database)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // It holds nothing that needs a clean shutdown.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
