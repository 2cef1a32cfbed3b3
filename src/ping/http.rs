//! One HTTP request on a connection of its own.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::handshake;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use rustls::CertificateError as Bad;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use url::{Host, Position, Url};

use super::Problem;
use crate::config::RootCert;
use crate::database::verifying_client;

/// How long an address may take before the next one is tried beside it, and how many are tried.
const STAGGER: Duration = Duration::from_millis(250);
const ADDRESSES: usize = 8;

/// How long the first bytes of an answer's body may take after its head.
const BODY_LIMIT: Duration = Duration::from_secs(1);

/// The status of the answer. A body makes it a POST. `is_counted`: an answer that begins with `OK (` says why the ping was not
/// counted. The caller limits the time.
pub(super) async fn send(
    url: &Url,
    body: Option<String>,
    is_counted: bool,
    root: Option<&RootCert>,
) -> Result<u16, Problem> {
    let host = url.host().ok_or(Problem::Lookup)?;
    let stream = connect(&host, url.port_or_known_default().unwrap_or(443)).await?;
    let request = request(url, body)?;
    if url.scheme() != "https" {
        return exchange(stream, request, is_counted).await;
    }
    let name = match host {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).map_err(|_| Problem::Lookup)?,
        Host::Ipv4(address) => ServerName::from(IpAddr::from(address)),
        Host::Ipv6(address) => ServerName::from(IpAddr::from(address)),
    };
    let config = verifying_client(root).map_err(|_| Problem::Roots)?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    exchange(connected.map_err(|error| tls_problem(&error))?, request, is_counted).await
}

fn request(url: &Url, body: Option<String>) -> Result<Request<String>, Problem> {
    let method = if body.is_some() { "POST" } else { "GET" };
    let mut request = Request::builder()
        .method(method)
        .uri(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(USER_AGENT, concat!("sessctl/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close");
    if let Some(body) = &body {
        request = request.header(CONTENT_LENGTH, body.len());
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
    }
    request.body(body.unwrap_or_default()).map_err(|_| Problem::Protocol)
}

/// A connection to the first address that takes one.
async fn connect(host: &Host<&str>, port: u16) -> Result<TcpStream, Problem> {
    let addresses: Vec<SocketAddr> = match host {
        Host::Domain(name) => lookup_host((*name, port)).await.map_err(|_| Problem::Lookup)?.collect(),
        Host::Ipv4(address) => vec![(*address, port).into()],
        Host::Ipv6(address) => vec![(*address, port).into()],
    };
    let mut attempts = JoinSet::new();
    for (number, address) in (0_u32..).zip(addresses).take(ADDRESSES) {
        attempts.spawn(async move {
            sleep(STAGGER * number).await;
            TcpStream::connect(address).await
        });
    }
    let mut problem = Problem::Lookup;
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => problem = Problem::Connection(error.kind()),
            Err(_) => {}
        }
    }
    Err(problem)
}

/// Sends the request, and reads the head of the answer, and of its body the beginning.
async fn exchange<S>(stream: S, request: Request<String>, is_counted: bool) -> Result<u16, Problem>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|_| Problem::Protocol)?;
    let mut tasks = JoinSet::new();
    // Ends with this function.
    tasks.spawn(connection);
    let answer = sender.send_request(request).await.map_err(|error| problem(&error))?;
    let (status, mut body) = (answer.status(), answer.into_body());
    if is_counted
        && status == 200
        && timeout(BODY_LIMIT, beginning(&mut body))
            .await
            .unwrap_or_default()
            .starts_with(b"OK (")
    {
        return Err(Problem::NotCounted);
    }
    Ok(status.as_u16())
}

/// The first part of a body, empty where it breaks off before.
async fn beginning(body: &mut Incoming) -> Vec<u8> {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
    let data = frame.and_then(Result::ok).and_then(|frame| frame.into_data().ok());
    data.map(|data| data.to_vec()).unwrap_or_default()
}

/// Why no answer came, without the text of the error: it may show what the server sent.
fn problem(error: &hyper::Error) -> Problem {
    let mut below = std::error::Error::source(error);
    while let Some(error) = below {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return tls_problem(error);
        }
        below = error.source();
    }
    Problem::Protocol
}

/// What an error of the connection says of TLS, without the names in a certificate.
fn tls_problem(error: &io::Error) -> Problem {
    match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(bad)) => Problem::Tls(match bad {
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => "its certificate is for another host name",
            Bad::Expired | Bad::ExpiredContext { .. } => "its certificate has expired",
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => "its certificate is not valid yet",
            _ => {
                "its certificate is not of a CA that is trusted: give that CA as sslrootcert, or add it to the system's"
            }
        }),
        Some(_) => Problem::Tls("the TLS handshake failed"),
        None => Problem::Connection(error.kind()),
    }
}
