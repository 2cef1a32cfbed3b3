//! Reads a connection string as libpq would, and says what is wrong with it.
//!
//! Everything that libpq knows and tokio-postgres lacks is dealt with here, in front of
//! tokio-postgres: the string is taken apart into parameters, those that we answer for ourselves
//! (TLS, defaults, other clients' additions) are taken out, and tokio-postgres parses the rest.
//!
//! No error, `Display` or `Debug` of this module holds the password or a part of it, nor the
//! string itself, since a broken string doesn't tell where its password ends.

use std::fmt;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode as WireMode, SslNegotiation, TargetSessionAttrs};

use super::error::Error;
use super::key_value::split_pairs;
use super::parameters::{Environment, PASSED_ON, Parameters, VARIABLES, fill, find_invisible, settle};
use super::tls::{RootCert, SslMode, TlsPolicy, tls_policy};
use super::url::{split_url, strip_scheme};
use crate::failure::Failure;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

// A peer that vanished is noticed after a minute, well before the idle timeouts of NATs and
// load balancers.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVES_COUNT: u32 = 3;

// The same of one that vanished while something was on its way to it.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(60);

/// What flags say, which wins over the string and the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    /// `--sslmode`.
    pub(crate) sslmode: Option<SslMode>,
    /// `--sslrootcert`.
    pub(crate) sslrootcert: Option<RootCert>,
    /// `--connect-timeout`, for each address of the host; zero means no limit.
    pub(crate) connect_timeout: Option<Duration>,
    /// `--timeout`.
    pub(crate) timeout: Option<Duration>,
}

/// Where to connect, and how. Displays as `user@host:port/database`, safe for a terminal; neither
/// `Display` nor `Debug` shows the password.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// What tokio-postgres is to be given: host, user and database are always set, TCP keepalives,
    /// a TCP user timeout (60 s) and a connect timeout (10 s) unless the string says otherwise. The application name is
    /// the string's or PGAPPNAME's; where it is absent the caller sets one.
    pub(crate) config: Config,
    /// What [`crate::database::tls::connector`] is to be given.
    pub(crate) tls: TlsPolicy,
    /// How long an answer of the server may take, where a flag says it.
    pub(crate) timeout: Option<Duration>,
    /// Whether the string came from a `.env` file in which a `$NAME` was replaced by the value of a variable.
    pub(crate) is_expanded: bool,
}

impl Target {
    /// Reads a connection string alone: no environment, no flags.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_string(text: &str) -> Result<Self, Failure> {
        Ok(parse(text, &Environment::default(), &Overrides::default())?)
    }

    pub(super) fn expanded(self, is_expanded: bool) -> Self {
        Self { is_expanded, ..self }
    }

    /// The host and port. A unix socket's host is the directory it is in.
    pub(crate) fn address(&self) -> (String, u16) {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            #[cfg(unix)]
            Some(Host::Unix(path)) => path.display().to_string(),
            None => String::new(),
        };
        (host, *self.config.get_ports().first().unwrap_or(&5432))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = self.address();
        let host = match host.contains([':', '/']) {
            true => format!("[{host}]"),
            false => host,
        };
        let user = self.config.get_user().unwrap_or_default();
        let database = self.config.get_dbname().unwrap_or_default();
        for character in format!("{user}@{host}:{port}/{database}").chars() {
            match character.is_control() {
                true => write!(f, "{}", character.escape_default())?,
                false => write!(f, "{character}")?,
            }
        }
        Ok(())
    }
}

/// Reads a connection string, a URL or key=value pairs, and fills what it leaves out from the
/// environment.
///
/// White space and one pair of quotes around the string are ignored, an empty value counts as
/// left out, and of a parameter given twice the last counts. Without a sslmode, `prefer` holds for
/// loopback hosts and `require` for all others; with a sslrootcert, `verify-ca` for a file and
/// `verify-full` for `system`. Without a sslrootcert, the verifying modes use the system's roots.
/// Unix sockets have no TLS, whatever was asked, as in libpq.
///
/// PGHOST and PGHOSTADDR count only where the string has neither host nor hostaddr. Unlike libpq,
/// neither the user's name in the operating system nor `~/.postgresql` nor `~/.pgpass` is used.
///
/// # Errors
///
/// The first thing found wrong, in words that never hold a part of the string other than the name
/// of an unknown parameter.
pub(crate) fn parse(text: &str, env: &Environment, overrides: &Overrides) -> Result<Target, Error> {
    let text = unquote(text)?;
    let pairs = match strip_scheme(text) {
        Some(rest) => split_url(rest)?,
        None => split_pairs(text)?,
    };
    let mut parameters = settle(pairs)?;
    let from_env = fill(&mut parameters, env)?;
    if overrides.connect_timeout.is_some() {
        parameters.remove("connect_timeout");
    }

    let invalid = |parameter: &'static str| {
        let variable = VARIABLES
            .iter()
            .find(|(_, key)| *key == parameter)
            .map(|(name, _)| *name);
        let variable = variable.filter(|_| from_env.contains(&parameter));
        Error::Value { parameter, variable }
    };
    let mut config = build(&parameters).map_err(invalid)?;
    let on_socket = config.get_hosts().iter().any(is_socket);
    // It would be reached in plaintext: a socket has no TLS.
    if on_socket && config.get_target_session_attrs() != TargetSessionAttrs::Any {
        return Err(Error::Unsupported(
            "target_session_attrs",
            "a unix socket leads to one server: leave it out",
        ));
    }
    if on_socket && !config.get_hostaddrs().is_empty() {
        return Err(Error::SocketWithAddress);
    }

    if !parameters.contains_key("connect_timeout") {
        let timeout = overrides.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        // To tokio-postgres no timeout means no limit, and zero a failure at once.
        if !timeout.is_zero() {
            config.connect_timeout(timeout);
        }
    }
    config.tcp_user_timeout(match parameters.get("tcp_user_timeout") {
        Some(value) => Duration::from_millis(value.parse().map_err(|_| invalid("tcp_user_timeout"))?),
        None => TCP_USER_TIMEOUT,
    });
    match parameters.get("gssencmode").map(String::as_str) {
        None | Some("disable" | "prefer") => {}
        Some("require") => return Err(Error::Unsupported("gssencmode", "use TLS")),
        Some(_) => return Err(invalid("gssencmode")),
    }

    let tls = tls_policy(&parameters, &config, overrides, invalid)?;
    config.ssl_mode(match tls.mode {
        SslMode::Disable => WireMode::Disable,
        SslMode::Prefer => WireMode::Prefer,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => WireMode::Require,
    });
    if config.get_ssl_negotiation() == SslNegotiation::Direct && tls.mode < SslMode::Require && !on_socket {
        return Err(Error::WeakDirect);
    }
    Ok(Target {
        config,
        tls,
        timeout: overrides.timeout,
        is_expanded: false,
    })
}

/// Removes what copying from a shell, a `.env` file or a document leaves around a string.
fn unquote(text: &str) -> Result<&str, Error> {
    let blank = |character: char| character.is_whitespace() || character == '\u{feff}';
    let mut text = text.trim_matches(blank);
    for quote in ['"', '\''] {
        if let Some(rest) = text.strip_prefix(quote) {
            text = rest.strip_suffix(quote).ok_or(Error::Quote)?.trim_matches(blank);
        }
    }
    match text {
        "" => Err(Error::Empty),
        // PostgreSQL's protocol ends its strings with a zero byte.
        _ if text.contains('\0') => Err(Error::NotAConnectionString),
        _ => match find_invisible(text) {
            Some(character) => Err(Error::Invisible {
                place: "the connection string",
                character,
            }),
            None => Ok(text),
        },
    }
}

/// Has tokio-postgres parse what is its own. The error is the parameter that it refuses.
fn build(parameters: &Parameters) -> Result<Config, &'static str> {
    let mut texts = Vec::new();
    for &(name, theirs) in PASSED_ON {
        let Some(value) = parameters.get(name) else {
            continue;
        };
        let escaped = value.replace('\\', r"\\").replace('\'', r"\'");
        texts.push((name, format!("{theirs}='{escaped}'")));
    }
    let mut text = format!(
        "keepalives_idle={} keepalives_interval={} keepalives_retries={KEEPALIVES_COUNT}",
        KEEPALIVES_IDLE.as_secs(),
        KEEPALIVES_INTERVAL.as_secs(),
    );
    for (_, pair) in &texts {
        text.push(' ');
        text.push_str(pair);
    }
    text.parse().map_err(|_| {
        let refused = texts.iter().find(|(_, pair)| pair.parse::<Config>().is_err());
        refused.map_or("connection string", |(name, _)| name)
    })
}

pub(super) fn is_socket(host: &Host) -> bool {
    !matches!(host, Host::Tcp(_))
}

#[cfg(test)]
mod tests;
