//! A proxy that reads the PostgreSQL protocol: it counts round trips, keeps what clients send, and cuts connections or lets them fall silent.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::running::wait_until;
use super::{server, url_as};

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

/// A message of a client, after the start of its connection.
#[derive(Clone, Debug)]
pub struct Message {
    /// The protocol's letter: `Q` a simple query, `P` Parse, …
    pub tag: u8,
    pub body: Vec<u8>,
    /// The server had a transaction open when it came.
    pub in_transaction: bool,
}

impl Message {
    /// The SQL of a Query or a Parse, empty for others.
    pub fn sql(&self) -> String {
        let mut fields = self.body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        match self.tag {
            b'Q' => fields.next(),
            b'P' => fields.nth(1),
            _ => None,
        }
        .unwrap_or_default()
        .into_owned()
    }

    /// The name of the prepared statement that a Parse makes, where it has one.
    pub fn statement_name(&self) -> Option<String> {
        let name = self.body.split(|byte| *byte == 0).next()?;
        (self.tag == b'P' && !name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
    }
}

/// What one connection did.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub messages: Vec<Message>,
    /// Times that the client sent something and waited for the answer, after the connection stood. Its closing message does not count.
    pub round_trips: usize,
    /// The SQLSTATEs of the server's errors.
    pub errors: Vec<String>,
    ready: bool,
    in_transaction: bool,
    answered: bool,
}

/// On which side of the server's work a connection is lost.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Before,
    After,
}

/// How a connection is lost.
#[derive(Clone, Copy, PartialEq)]
enum Loss {
    /// Both ends are closed.
    Cut,
    /// Both ends stay open, and nothing passes any more in either direction, not even their end.
    Silence,
}

struct Cut {
    side: Side,
    loss: Loss,
    text: String,
    /// Matching messages to let through first, over all connections.
    skip: usize,
    /// Cuts left.
    times: usize,
}

#[derive(Default)]
struct State {
    /// By order of arrival. Cancel requests have none.
    connections: Mutex<Vec<Record>>,
    cuts: Mutex<Vec<Cut>>,
    cuts_made: Mutex<usize>,
    /// New connections are closed at once.
    refuses: AtomicBool,
    refusals: AtomicUsize,
    /// New connections are taken, and never answered.
    silences: AtomicBool,
    silenced: AtomicUsize,
    /// The clients' sockets, each with whether its connection has fallen silent.
    clients: Mutex<Vec<(TcpStream, Arc<AtomicBool>)>>,
    stopped: AtomicBool,
}

/// Stands on 127.0.0.1 before a server, until it is dropped.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// Before the server of the tests.
    pub fn to_the_server() -> Self {
        Self::start(server().port())
    }

    /// Before the server on that port of 127.0.0.1.
    pub fn start(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    // A connection that breaks is what this is for.
                    let _ = shared.serve(client, server);
                });
            }
        });
        Self { port, state }
    }

    /// The connection string of `postgres` through the proxy.
    pub fn url(&self, database: &str) -> String {
        self.url_as("postgres", server().password(), database)
    }

    /// The connection string of a role that the sandbox did not make, or of one with another password.
    pub fn url_as(&self, role: &str, password: &str, database: &str) -> String {
        url_as(role, password, self.port, database)
    }

    /// Cuts the connection in place of handing on the `nth` message (from 1) with `text` in its SQL.
    pub fn cut_before(&self, text: &str, nth: usize) {
        self.lose(Loss::Cut, Side::Before, text, nth, 1);
    }

    /// Hands on the `nth` message (from 1) with `text` in its SQL, lets the server do it, and cuts in place of the answer.
    pub fn cut_after(&self, text: &str, nth: usize) {
        self.lose(Loss::Cut, Side::After, text, nth, 1);
    }

    /// [`Self::cut_before`] from the first such message on, `times` times.
    pub fn cut_before_each(&self, text: &str, times: usize) {
        self.lose(Loss::Cut, Side::Before, text, 1, times);
    }

    /// From the `nth` message (from 1) with `text` in its SQL on, its connection is silent in both directions. Its ends stay
    /// open, and neither hears of the other's end.
    pub fn swallow_from(&self, text: &str, nth: usize) {
        self.lose(Loss::Silence, Side::Before, text, nth, 1);
    }

    /// [`Self::swallow_from`], but that message still reaches the server.
    pub fn swallow_after(&self, text: &str, nth: usize) {
        self.lose(Loss::Silence, Side::After, text, nth, 1);
    }

    fn lose(&self, loss: Loss, side: Side, text: &str, nth: usize, times: usize) {
        let cut = Cut {
            side,
            loss,
            text: text.into(),
            skip: nth - 1,
            times,
        };
        self.state.cuts.lock().unwrap().push(cut);
    }

    /// From now on new connections are closed before a word is said; the old ones go on.
    pub fn refuse_new(&self, refuses: bool) {
        self.state.refuses.store(refuses, Ordering::Relaxed);
    }

    /// From now on new connections, cancel requests too, are taken and never answered; the old ones go on.
    pub fn silence_new(&self, silences: bool) {
        self.state.silences.store(silences, Ordering::Relaxed);
    }

    /// Waits until so many connections have been taken and not answered.
    #[track_caller]
    pub fn wait_for_silenced(&self, count: usize) {
        wait_until(&format!("{count} silenced connections"), || {
            self.state.silenced.load(Ordering::Relaxed) >= count
        });
    }

    /// Closes the client's end of every connection. The server's end stays open, and does not hear of it.
    pub fn hang_up_on_clients(&self) {
        for (client, silent) in self.state.clients.lock().unwrap().drain(..) {
            silent.store(true, Ordering::SeqCst);
            client.shutdown(Shutdown::Both).unwrap();
        }
    }

    /// How many connections were cut or fell silent.
    pub fn cuts_made(&self) -> usize {
        *self.state.cuts_made.lock().unwrap()
    }

    /// Every connection so far, by order of arrival.
    pub fn connections(&self) -> Vec<Record> {
        self.state.connections.lock().unwrap().clone()
    }

    /// The round trips of the last connection, after it stood.
    pub fn round_trips(&self) -> usize {
        self.connections().last().expect("nobody connected").round_trips
    }

    /// Waits until a client has sent a message with `text` in its SQL for the `nth` time.
    #[track_caller]
    pub fn wait_for(&self, text: &str, nth: usize) {
        wait_until(&format!("{text:?}, {nth} times"), || {
            let connections = self.state.connections.lock().unwrap();
            let messages = connections.iter().flat_map(|c| &c.messages);
            messages.filter(|m| m.sql().contains(text)).count() >= nth
        });
    }

    /// The SQLSTATEs of all errors so far.
    pub fn errors(&self) -> Vec<String> {
        self.connections().into_iter().flat_map(|c| c.errors).collect()
    }

    /// Waits until the server has answered with this SQLSTATE.
    #[track_caller]
    pub fn wait_for_error(&self, code: &str) {
        wait_until(&format!("SQLSTATE {code}"), || self.errors().iter().any(|c| c == code));
    }

    /// How many connections were refused.
    pub fn refusals(&self) -> usize {
        self.state.refusals.load(Ordering::Relaxed)
    }

    /// Waits until so many connections have been refused.
    #[track_caller]
    pub fn wait_for_refusals(&self, count: usize) {
        wait_until(&format!("{count} refused connections"), || self.refusals() >= count);
    }

    /// Fails on what a transaction pooler would trip over: named statements, session state, session locks.
    #[track_caller]
    pub fn assert_fit_for_a_transaction_pooler(&self) {
        for message in self.connections().iter().flat_map(|c| &c.messages) {
            assert_eq!(message.statement_name(), None, "a named statement: {}", message.sql());
            let sql = message.sql().to_lowercase();
            assert!(!sql.contains("pg_advisory_lock("), "a session lock: {sql}");
            assert!(!sql.contains("pg_try_advisory_lock("), "a session lock: {sql}");
            assert!(
                !sets_session_state(&sql, message.in_transaction),
                "session state: {sql}"
            );
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that it is to end.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// Whether a SET outlives its transaction. One in a transaction does too, unless it is SET LOCAL. A statement's text is
/// split at semicolons: bodies of functions are split as well, and stand between begin and commit where it matters.
fn sets_session_state(sql: &str, mut in_transaction: bool) -> bool {
    if sql.contains("$$") {
        // A migration; its functions' SET clauses begin lines too.
        return false;
    }
    for statement in sql.split(';') {
        let words: Vec<&str> = statement.split_whitespace().collect();
        match words.as_slice() {
            ["begin", ..] => in_transaction = true,
            ["commit" | "rollback", ..] => in_transaction = false,
            ["set", "local" | "constraints" | "transaction", ..] if in_transaction => {}
            ["set" | "listen" | "prepare", ..] => return true,
            _ => {}
        }
    }
    false
}

impl State {
    fn serve(self: Arc<Self>, mut client: TcpStream, port: u16) -> io::Result<()> {
        if self.refuses.load(Ordering::Relaxed) {
            self.refusals.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if self.silences.load(Ordering::Relaxed) {
            self.silenced.fetch_add(1, Ordering::Relaxed);
            client.read_to_end(&mut Vec::new())?;
            return Ok(());
        }
        client.set_nodelay(true)?;
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        server.set_nodelay(true)?;
        loop {
            let start = read_body(&mut client, Vec::new())?;
            match u32::from_be_bytes([start[4], start[5], start[6], start[7]]) {
                SSL_REQUEST | GSS_REQUEST => client.write_all(b"N")?,
                CANCEL_REQUEST => {
                    server.write_all(&start)?;
                    // The server closes when it is done with it, and so does this.
                    server.read_to_end(&mut Vec::new())?;
                    return Ok(());
                }
                _ => {
                    server.write_all(&start)?;
                    break;
                }
            }
        }
        let id = {
            let mut connections = self.connections.lock().unwrap();
            connections.push(Record::default());
            connections.len() - 1
        };
        let (muted, silent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        self.clients
            .lock()
            .unwrap()
            .push((client.try_clone()?, Arc::clone(&silent)));
        let back = {
            let (state, muted, silent) = (Arc::clone(&self), Arc::clone(&muted), Arc::clone(&silent));
            let (server, client) = (server.try_clone()?, client.try_clone()?);
            thread::spawn(move || {
                let _ = state.answers(id, server, &client, &muted, &silent);
                // The client's end hears of the server's, and the other way round.
                if !silent.load(Ordering::SeqCst) {
                    let _ = client.shutdown(Shutdown::Both);
                }
            })
        };
        let _ = self.questions(id, client, &mut server, &muted, &silent);
        if !silent.load(Ordering::SeqCst) {
            let _ = server.shutdown(Shutdown::Write);
        }
        let _ = back.join();
        Ok(())
    }

    /// Client to server, one message after the other.
    fn questions(
        &self,
        id: usize,
        client: TcpStream,
        server: &mut TcpStream,
        muted: &AtomicBool,
        silent: &AtomicBool,
    ) -> io::Result<()> {
        let mut client = BufReader::new(client);
        loop {
            // What was sent in one go is one question, however fast the server answers its first part.
            let goes_on = !client.buffer().is_empty();
            let raw = read_message(&mut client)?;
            let (sql, asked) = {
                let record = &mut self.connections.lock().unwrap()[id];
                let message = Message {
                    tag: raw[0],
                    body: raw[5..].to_vec(),
                    in_transaction: record.in_transaction,
                };
                let sql = message.sql();
                if record.ready {
                    // Terminate is no question.
                    if record.answered && !goes_on && raw[0] != b'X' {
                        record.round_trips += 1;
                        record.answered = false;
                    }
                    record.messages.push(message);
                }
                (sql, record.ready)
            };
            if silent.load(Ordering::SeqCst) {
                continue;
            }
            let loss = if asked { self.loss_due(&sql) } else { None };
            match loss {
                None => server.write_all(&raw)?,
                Some((Loss::Silence, side)) => {
                    silent.store(true, Ordering::SeqCst);
                    if side == Side::After {
                        server.write_all(&raw)?;
                    }
                }
                Some((Loss::Cut, Side::Before)) => {
                    // Both ends are closed: the server rolls back, the client hears nothing.
                    let _ = client.get_ref().shutdown(Shutdown::Both);
                    return server.shutdown(Shutdown::Both);
                }
                Some((Loss::Cut, Side::After)) => {
                    muted.store(true, Ordering::SeqCst);
                    server.write_all(&raw)?;
                }
            }
        }
    }

    /// Server to client. A muted answer closes the connection once it is complete, so the server has done its work.
    fn answers(
        &self,
        id: usize,
        mut server: TcpStream,
        mut client: &TcpStream,
        muted: &AtomicBool,
        silent: &AtomicBool,
    ) -> io::Result<()> {
        loop {
            let raw = read_message(&mut server)?;
            {
                let record = &mut self.connections.lock().unwrap()[id];
                record.answered = true;
                match raw[0] {
                    b'Z' => {
                        record.ready = true;
                        record.in_transaction = raw[5] != b'I';
                    }
                    b'E' => record.errors.extend(error_fields(&raw[5..]).remove(&b'C')),
                    _ => {}
                }
            }
            if silent.load(Ordering::SeqCst) {
                continue;
            }
            if muted.load(Ordering::SeqCst) {
                if raw[0] == b'Z' {
                    let _ = client.shutdown(Shutdown::Both);
                    return server.shutdown(Shutdown::Both);
                }
            } else {
                client.write_all(&raw)?;
            }
        }
    }

    fn loss_due(&self, sql: &str) -> Option<(Loss, Side)> {
        for cut in self.cuts.lock().unwrap().iter_mut() {
            if cut.times == 0 || !sql.contains(&cut.text) {
                continue;
            }
            if cut.skip > 0 {
                cut.skip -= 1;
                continue;
            }
            cut.times -= 1;
            *self.cuts_made.lock().unwrap() += 1;
            return Some((cut.loss, cut.side));
        }
        None
    }
}

/// The fields of an ErrorResponse by their letters.
fn error_fields(body: &[u8]) -> HashMap<u8, String> {
    let fields = body.split(|byte| *byte == 0).filter(|field| !field.is_empty());
    fields
        .map(|field| (field[0], String::from_utf8_lossy(&field[1..]).into_owned()))
        .collect()
}

/// A message with its letter, length and body.
fn read_message(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut tag = [0];
    from.read_exact(&mut tag)?;
    read_body(from, tag.to_vec())
}

/// What a length goes before, appended to `head`. The first message of a connection has no letter.
pub(super) fn read_body(from: &mut impl Read, mut head: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let rest = u32::from_be_bytes(length).saturating_sub(4) as usize;
    head.extend_from_slice(&length);
    let start = head.len();
    head.resize(start + rest, 0);
    from.read_exact(&mut head[start..])?;
    Ok(head)
}
