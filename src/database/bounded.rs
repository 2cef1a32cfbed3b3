//! What the server sends, in bounds: the driver itself holds whatever comes, a message of 2 GB too.
//!
//! tokio-postgres hands its own socket to the TLS connector alone, so the connector does without TLS as well where the mode
//! says so: it is told to connect directly, asks for TLS itself, and puts the bounds around what comes of it.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;
use tokio_postgres::config::{Host, SslMode as WireMode, SslNegotiation};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{CancelToken, Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::sieve::{AnswerLimit, MAX_ANSWER, Sieve};

/// How many bytes are read at once.
const CHUNK: usize = 16 * 1024;

/// "SSLRequest" of the protocol.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Connects with TLS or without it, as far as the mode goes, and bounds what the server sends.
#[derive(Clone)]
pub(super) struct Connector {
    tls: MakeRustlsConnect,
    mode: WireMode,
    is_direct: bool,
    /// The unix socket, where the host is one: the driver's own way to it has no place for a connector.
    socket: Option<PathBuf>,
    limit: AnswerLimit,
}

/// A connection that somebody must drive.
pub(super) type Connected = (Client, Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>);

impl Connector {
    /// Takes the decision on TLS over from a configuration, which henceforth leaves it to this connector.
    pub(super) fn take_over(config: &mut Config, tls: MakeRustlsConnect) -> Self {
        let port = config.get_ports().first().unwrap_or(&5432);
        let socket = match config.get_hosts().first() {
            Some(Host::Unix(folder)) => Some(folder.join(format!(".s.PGSQL.{port}"))),
            _ => None,
        };
        let connector = Self {
            tls,
            mode: config.get_ssl_mode(),
            is_direct: config.get_ssl_negotiation() == SslNegotiation::Direct,
            socket,
            limit: AnswerLimit::default(),
        };
        config
            .ssl_mode(WireMode::Require)
            .ssl_negotiation(SslNegotiation::Direct);
        connector
    }

    /// Takes answers of at least so many bytes, until the value goes.
    pub(super) fn allow(&self, bytes: usize) -> Allowance<'_> {
        self.limit.0.store(bytes.max(MAX_ANSWER), Ordering::Relaxed);
        Allowance(&self.limit)
    }

    /// Connects as the configuration says.
    pub(super) async fn connect(&self, config: &Config) -> Result<Connected, Error> {
        match self.open_socket().await {
            Some(stream) => {
                let (client, connection) = config.connect_raw(stream, self.handshake("")).await?;
                Ok((client, Box::pin(connection)))
            }
            // Also where the socket can't be opened: the driver says why.
            None => {
                let (client, connection) = config.connect(self.clone()).await?;
                Ok((client, Box::pin(connection)))
            }
        }
    }

    /// Asks the server to cancel the statement that is running on a connection.
    pub(super) async fn cancel(&self, token: &CancelToken) -> Result<(), Error> {
        match self.open_socket().await {
            Some(stream) => token.cancel_query_raw(stream, self.handshake("")).await,
            None => token.cancel_query(self.clone()).await,
        }
    }

    async fn open_socket(&self) -> Option<UnixStream> {
        UnixStream::connect(self.socket.as_ref()?).await.ok()
    }

    fn handshake(&self, host: &str) -> Handshake {
        Handshake {
            connector: self.clone(),
            host: host.to_owned(),
        }
    }
}

/// A larger answer is expected.
pub(super) struct Allowance<'a>(&'a AnswerLimit);

impl Drop for Allowance<'_> {
    fn drop(&mut self) {
        self.0.0.store(MAX_ANSWER, Ordering::Relaxed);
    }
}

impl<S: Stream> MakeTlsConnect<S> for Connector {
    type Stream = Bounded<S>;
    type TlsConnect = Handshake;
    type Error = Infallible;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, Infallible> {
        Ok(self.handshake(host))
    }
}

/// What a connection goes over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// A connection to make to a host.
pub(super) struct Handshake {
    connector: Connector,
    host: String,
}

impl<S: Stream> TlsConnect<S> for Handshake {
    type Stream = Bounded<S>;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Bounded<S>, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(self.shake_hands(stream))
    }
}

impl Handshake {
    async fn shake_hands<S: Stream>(mut self, mut stream: S) -> Result<Bounded<S>, Box<dyn StdError + Send + Sync>> {
        let Connector {
            tls,
            mode,
            is_direct,
            limit,
            ..
        } = &mut self.connector;
        let limit = limit.clone();
        if *mode == WireMode::Disable {
            return Ok(Bounded::new(Wire::Plain(stream), limit));
        }
        if !*is_direct {
            stream.write_all(&SSL_REQUEST).await?;
            // One byte and no more: what follows it in plaintext must not count as having come over TLS.
            if stream.read_u8().await? != b'S' {
                return match mode {
                    WireMode::Prefer => Ok(Bounded::new(Wire::Plain(stream), limit)),
                    _ => Err("server does not support TLS".into()),
                };
            }
        }
        let handshake = MakeTlsConnect::<S>::make_tls_connect(tls, &self.host)?;
        Ok(Bounded::new(
            Wire::Tls(Box::pin(handshake.connect(stream).await?)),
            limit,
        ))
    }
}

enum Wire<S> {
    Plain(S),
    Tls(Pin<Box<dyn TlsStream + Send>>),
}

/// A stream that ends with an error message where the server sends too much, and leaves out what nobody here reads: notices,
/// notifications and the values of settings. The driver would keep those until the login is done, or for good.
pub(super) struct Bounded<S> {
    wire: Wire<S>,
    chunk: Box<[u8]>,
    /// What is passed on, and how much of it was.
    sifted: Vec<u8>,
    given: usize,
    sieve: Sieve,
    is_refused: bool,
}

impl<S> Bounded<S> {
    fn new(wire: Wire<S>, limit: AnswerLimit) -> Self {
        Self {
            wire,
            chunk: vec![0; CHUNK].into(),
            sifted: Vec::new(),
            given: 0,
            sieve: Sieve::new(limit),
            is_refused: false,
        }
    }
}

impl<S: Stream> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.given == this.sifted.len() {
            if this.is_refused {
                return Poll::Ready(Ok(()));
            }
            this.given = 0;
            this.sifted.clear();
            let mut chunk = ReadBuf::new(&mut this.chunk);
            ready!(match &mut this.wire {
                Wire::Plain(stream) => Pin::new(stream).poll_read(cx, &mut chunk),
                Wire::Tls(stream) => stream.as_mut().poll_read(cx, &mut chunk),
            })?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            if let Err(refusal) = this.sieve.sift(chunk.filled(), &mut this.sifted) {
                this.is_refused = true;
                this.sifted.extend(refusal.message());
            }
        }
        let rest = &this.sifted[this.given..];
        let given = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..given]);
        this.given += given;
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Tls(stream) => stream.as_mut().poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => stream.as_mut().poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => stream.as_mut().poll_shutdown(cx),
        }
    }
}

impl<S: Stream> TlsStream for Bounded<S> {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.wire {
            Wire::Plain(_) => ChannelBinding::none(),
            Wire::Tls(stream) => stream.channel_binding(),
        }
    }
}
