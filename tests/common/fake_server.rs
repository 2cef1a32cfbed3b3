//! A server that does no work: it answers with an error of our choice, not at all, or with a flood, and counts who came.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::proxy::read_body;

/// What it does with a client.
#[derive(Clone, Debug)]
pub enum Manner {
    /// Refuses with an error, as a pooler does: severity, SQLSTATE, message.
    Refuse {
        severity: &'static str,
        code: &'static str,
        message: &'static str,
    },
    /// Takes the connection and never says a word.
    Silence,
    /// Closes at once.
    Close,
    /// Sends what the function gives, again and again with a rising number, until the client goes or has had [`FLOOD`] bytes:
    /// in answer to the first query, or in the midst of the login.
    Flood {
        after_login: bool,
        part: fn(usize) -> Vec<u8>,
    },
}

/// Twice what a client may hold.
pub const FLOOD: usize = 128 * 1024 * 1024;

/// A message of the protocol.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// Refusals of Supabase's poolers that no local server gives, with their SQLSTATEs.
pub const POOLER_REFUSALS: [(&str, &str); 9] = [
    ("XX000", "Tenant or user not found"),
    (
        "XX000",
        "(ENOTFOUND) tenant/user postgres.abcdefghijklmnopqrst not found",
    ),
    ("28P01", "password authentication failed for user \"postgres\""),
    ("XX000", "failed SASL auth: invalid password"),
    (
        "XX000",
        "(ECIRCUITBREAKER) too many authentication failures, new connections are temporarily blocked",
    ),
    (
        "XX000",
        "MaxClientsInSessionMode: max clients reached in session mode - in Session mode max clients are limited to pool_size",
    ),
    ("XX000", "Max client connections reached"),
    ("XX000", "SSL connection is required"),
    ("XX000", "Address not in tenant allow_list: {203, 0, 113, 7}"),
];

/// Listens on 127.0.0.1 until it is dropped.
pub struct FakeServer {
    port: u16,
    came: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl FakeServer {
    /// Refuses everybody with this FATAL error.
    pub fn refusing(code: &'static str, message: &'static str) -> Self {
        Self::start(Manner::Refuse {
            severity: "FATAL",
            code,
            message,
        })
    }

    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (came, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stop) = (Arc::clone(&came), Arc::clone(&stopped));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let (manner, stop) = (manner.clone(), Arc::clone(&stop));
                thread::spawn(move || manner.treat(client, &stop));
            }
        });
        Self { port, came, stopped }
    }

    /// A connection string to it; the password is one to look for in outputs.
    pub fn url(&self) -> String {
        format!("postgresql://postgres:hunter2secret@127.0.0.1:{}/postgres", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections came so far.
    pub fn connections(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is to end.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Manner {
    fn treat(&self, mut client: TcpStream, stopped: &AtomicBool) {
        match self {
            // The client may be gone before it hears the answer.
            Self::Refuse {
                severity,
                code,
                message,
            } => drop(refuse(&mut client, severity, code, message)),
            Self::Silence => {
                while !stopped.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(20));
                }
            }
            Self::Close => {}
            Self::Flood { after_login, part } => drop(flood(&mut client, *after_login, *part)),
        }
    }
}

fn flood(client: &mut TcpStream, after_login: bool, part: fn(usize) -> Vec<u8>) -> io::Result<()> {
    hear_out(client)?;
    client.write_all(&message(b'R', &[0; 4]))?;
    if after_login {
        client.write_all(&message(b'K', &[0; 8]))?;
        client.write_all(&message(b'Z', b"I"))?;
        client.read_exact(&mut [0])?;
    }
    let (mut number, mut sent) = (0, 0);
    while sent < FLOOD {
        let part = part(number);
        client.write_all(&part)?;
        (number, sent) = (number + 1, sent + part.len());
    }
    Ok(())
}

/// Reads up to the startup message, and declines TLS.
fn hear_out(client: &mut TcpStream) -> io::Result<()> {
    // Eight bytes are an SSLRequest or a GSSENCRequest; a startup message is longer.
    while read_body(client, Vec::new())?.len() == 8 {
        client.write_all(b"N")?;
    }
    Ok(())
}

/// Answers the startup message with the error.
fn refuse(client: &mut TcpStream, severity: &str, code: &str, message: &str) -> io::Result<()> {
    hear_out(client)?;
    let mut body = Vec::new();
    for (letter, text) in [('S', severity), ('V', severity), ('C', code), ('M', message)] {
        body.extend_from_slice(format!("{letter}{text}\0").as_bytes());
    }
    body.push(0);
    client.write_all(&self::message(b'E', &body))?;
    client.shutdown(Shutdown::Write)
}
