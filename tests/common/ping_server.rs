//! A monitoring service on 127.0.0.1: it keeps what comes, and answers as a test wants.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::running::wait_until;

/// What it answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These bytes, then the end.
    Bytes(String),
    /// Nothing, until the test says so; then 200.
    Held,
    /// These bytes, and then the others without end.
    Endless(String, String),
}

impl Answer {
    /// A whole answer.
    pub fn status(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Bytes(format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ))
    }
}

/// What came.
#[derive(Clone, Debug)]
pub struct Ping {
    /// As `POST /path`.
    pub line: String,
    /// In lower case, as `name: value`, sorted.
    pub headers: Vec<String>,
    pub body: String,
}

#[derive(Default)]
struct State {
    pings: Mutex<Vec<Ping>>,
    is_released: AtomicBool,
    is_stopped: AtomicBool,
}

/// Listens until it is dropped.
pub struct PingServer {
    port: u16,
    state: Arc<State>,
}

impl PingServer {
    /// Gives each request the answer of its number, and all later ones the last.
    pub fn start(answers: Vec<Answer>) -> Self {
        Self::over(answers, Ok)
    }

    pub fn with_tls(config: ServerConfig) -> Self {
        let config = Arc::new(config);
        let wrap = move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
            Ok(StreamOwned::new(connection, stream))
        };
        Self::over(vec![Answer::status("200 OK", "", "OK")], wrap)
    }

    fn over<S: Read + Write>(
        answers: Vec<Answer>,
        wrap: impl Fn(TcpStream) -> io::Result<S> + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.is_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (state, answers, wrap) = (Arc::clone(&shared), answers.clone(), wrap.clone());
                // The client may go at any time.
                thread::spawn(move || wrap(client).and_then(|stream| state.serve(stream, &answers)));
            }
        });
        Self { port, state }
    }

    /// The URL of a check; `token` is what no output may show.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/t0ken-of-the-check", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pings(&self) -> Vec<Ping> {
        self.state.pings.lock().unwrap().clone()
    }

    /// The request lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.pings().into_iter().map(|ping| ping.line).collect()
    }

    /// Waits until so many pings have come.
    #[track_caller]
    pub fn wait_for(&self, count: usize) {
        wait_until(&format!("{count} pings"), || self.pings().len() >= count);
    }

    /// Lets what is held be answered.
    pub fn release(&self) {
        self.state.is_released.store(true, Ordering::SeqCst);
    }
}

impl Drop for PingServer {
    fn drop(&mut self) {
        self.state.is_stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl State {
    fn serve(&self, stream: impl Read + Write, answers: &[Answer]) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_owned());
        }
        if head.is_empty() {
            return Ok(());
        }
        let line = head.remove(0).replace(" HTTP/1.1", "");
        let mut headers: Vec<String> = head.iter().map(|header| header.to_lowercase()).collect();
        headers.sort();
        let length = headers
            .iter()
            .find_map(|header| header.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body)?;
        let body = String::from_utf8(body).unwrap();
        let number = {
            let mut pings = self.pings.lock().unwrap();
            pings.push(Ping { line, headers, body });
            pings.len() - 1
        };
        let stream = stream.get_mut();
        match &answers[number.min(answers.len() - 1)] {
            Answer::Bytes(bytes) => stream.write_all(bytes.as_bytes())?,
            Answer::Held => {
                while !self.is_released.load(Ordering::SeqCst) {
                    if self.is_stopped.load(Ordering::SeqCst) {
                        return Ok(());
                    }
                    thread::yield_now();
                    thread::sleep(std::time::Duration::from_millis(5));
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK")?;
            }
            Answer::Endless(first, more) => {
                stream.write_all(first.as_bytes())?;
                while !self.is_stopped.load(Ordering::SeqCst) {
                    stream.write_all(more.as_bytes())?;
                    thread::sleep(std::time::Duration::from_millis(1));
                }
            }
        }
        stream.flush()
    }
}
