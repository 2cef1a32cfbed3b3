//! Reads a connection string as libpq would, and says what is wrong with it.
//!
//! Everything that libpq knows and tokio-postgres lacks is dealt with here, in front of
//! tokio-postgres: the string is taken apart into parameters, those that we answer for ourselves
//! (TLS, defaults, other clients' additions) are taken out, and tokio-postgres parses the rest.
//!
//! No error, `Display` or `Debug` of this module holds the password or a part of it, nor the
//! string itself, since a broken string doesn't tell where its password ends.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode as WireMode, SslNegotiation};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
// A peer that vanished is noticed after a minute, well before the idle timeouts of NATs and
// load balancers.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVES_COUNT: u32 = 3;

/// Parameters that tokio-postgres parses, under libpq's name and under its own.
const PASSED_ON: &[(&str, &str)] = &[
    ("application_name", "application_name"),
    ("channel_binding", "channel_binding"),
    ("connect_timeout", "connect_timeout"),
    ("dbname", "dbname"),
    ("host", "host"),
    ("hostaddr", "hostaddr"),
    ("keepalives", "keepalives"),
    ("keepalives_count", "keepalives_retries"),
    ("keepalives_idle", "keepalives_idle"),
    ("keepalives_interval", "keepalives_interval"),
    ("load_balance_hosts", "load_balance_hosts"),
    ("options", "options"),
    ("password", "password"),
    ("port", "port"),
    ("sslnegotiation", "sslnegotiation"),
    ("target_session_attrs", "target_session_attrs"),
    ("user", "user"),
];

/// Parameters that this module answers for. `ssl` is JDBC's, which libpq takes too, and
/// tokio-postgres would read the milliseconds of `tcp_user_timeout` as seconds.
const OURS: &[&str] = &["gssencmode", "ssl", "sslmode", "sslrootcert", "tcp_user_timeout"];

/// Parameters without a meaning here: libpq's first, then what other clients add.
const DROPPED: &[&str] = &[
    "client_encoding",
    "fallback_application_name",
    "gssdelegation",
    "gsslib",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcompression",
    "sslkeylogfile",
    "sslsni",
    "binary_parameters",
    "connection_limit",
    "max_idle_connection_lifetime",
    "pgbouncer",
    "pool_mode",
    "pool_timeout",
    "prepareThreshold",
    "prepared_statements",
    "preparedStatementCacheQueries",
    "schema",
    "socket_timeout",
    "statement_cache_mode",
    "statement_cache_size",
    "supa",
    "uselibpqcompat",
    "workaround",
];

/// Parameters that are refused, since a connection without them would be another one than was
/// asked for; with what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("passfile", "give the password in the string or in PGPASSWORD"),
    ("replication", "leave it out"),
    ("require_auth", "leave it out, or use channel_binding=require"),
    ("requirepeer", "leave it out"),
    ("service", "write out its host, user and database"),
    ("servicefile", "write out the service's host, user and database"),
    ("sslaccept", "use sslmode=verify-full"),
    ("sslcert", CLIENT_CERTIFICATE),
    ("sslcertmode", CLIENT_CERTIFICATE),
    ("sslcrl", "leave it out"),
    ("sslcrldir", "leave it out"),
    ("sslkey", CLIENT_CERTIFICATE),
    ("sslpassword", CLIENT_CERTIFICATE),
];
const CLIENT_CERTIFICATE: &str = "log in with a password, not with a client certificate";

/// The environment variables that fill what a string leaves out, and the parameters they stand for.
const VARIABLES: &[(&str, &str)] = &[
    ("PGAPPNAME", "application_name"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGDATABASE", "dbname"),
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGOPTIONS", "options"),
    ("PGPASSWORD", "password"),
    ("PGPORT", "port"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGUSER", "user"),
];

/// Why a connection string was refused, in one line, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing but white space.
    #[error("the connection string is empty: expected {EXPECTED}")]
    Empty,
    /// Neither a URL nor key=value pairs.
    #[error("this is not a connection string: expected {EXPECTED}")]
    NotAConnectionString,
    /// The address of the project's API or dashboard, or a bare host.
    #[error("this is the API's address; the connection string is in the dashboard, under Connect")]
    WebAddress,
    /// A URL of something else.
    #[error("this is not a PostgreSQL URL: it begins with postgres:// or postgresql://")]
    Scheme,
    /// A URL with something in front of it, as `psql postgres://…` or `jdbc:postgresql://…`.
    #[error("something stands in front of postgres://: pass the URL alone")]
    Prefix,
    /// A quote at one end only.
    #[error("the connection string has a quote at one end only: remove it")]
    Quote,
    /// White space or a control character inside a URL.
    #[error(
        "the URL holds a space, a line break or a control character: \
         remove it, or write a space as %20"
    )]
    Whitespace,
    /// Characters that must be percent-encoded, and aren't.
    #[error("unescaped character in {part} of the URL: write {}", encodings(characters))]
    Unescaped {
        /// Where they are.
        part: Part,
        /// The offending characters, each once, in the order of their first appearance.
        characters: Vec<char>,
    },
    /// Percent-encoded bytes that are no text.
    #[error("the percent-encoded bytes in {0} of the URL are not UTF-8 text")]
    NotText(Part),
    /// An IPv6 address that reads as a host and a port.
    #[error("write an IPv6 address in brackets: [2001:db8::1]:5432")]
    Brackets,
    /// A host that can be none.
    #[error("the host is not a host name, an address or a socket's directory: expected {EXPECTED}")]
    Host,
    /// A port that is no port.
    #[error(
        "the port (or PGPORT) is not a number from 1 to 65535: expected {EXPECTED}, \
         with : / ? # @ % in the password written as %3A %2F %3F %23 %40 %25"
    )]
    Port,
    /// Numbers of hosts, addresses and ports that don't match.
    #[error("the numbers of hosts, addresses (hostaddr) and ports differ: give one for each host")]
    Count,
    /// Sockets and network hosts side by side.
    #[error("unix sockets and network hosts can't be mixed: give one kind")]
    Mixed,
    /// Key=value pairs or URL parameters that can't be read.
    #[error("the connection string has {0}")]
    Malformed(&'static str),
    /// A parameter that nobody knows.
    #[error("unknown parameter `{0}` in the connection string: remove it, or check its spelling")]
    Unknown(String),
    /// A word behind the password that may be a part of it.
    #[error(
        "what follows the password is not a known parameter: quote a password that holds spaces, \
         and in a URL write & as %26"
    )]
    AfterPassword,
    /// A parameter that is not supported.
    #[error("`{0}` in the connection string is not supported: {1}")]
    Unsupported(&'static str, &'static str),
    /// A value that is none of those allowed.
    #[error("`{parameter}` has an invalid value: check it in the connection string{}", or(*variable))]
    Value {
        /// The parameter's name.
        parameter: &'static str,
        /// The environment variable that gave the value, if one did.
        variable: Option<&'static str>,
    },
    /// The dashboard's placeholder.
    #[error(
        "{0} is still a placeholder such as [YOUR-PASSWORD]: put the real one in its place, \
         without brackets"
    )]
    Placeholder(Part),
    /// No host, or no user.
    #[error("the connection string names no {0}: expected {EXPECTED}, or set {1}")]
    Missing(&'static str, &'static str),
    /// `sslmode=allow`.
    #[error(
        "sslmode=allow is not supported, it prefers plaintext: \
         use prefer (TLS where the server has it) or require"
    )]
    Allow,
    /// Any other sslmode.
    #[error("unknown sslmode: use disable, prefer, require, verify-ca or verify-full")]
    SslMode,
    /// `sslrootcert=system` with less than verify-full.
    #[error(
        "sslrootcert=system is of use with sslmode=verify-full only: \
         anyone can have a certificate from a public CA, so the host name must be checked"
    )]
    WeakSystem,
    /// `sslnegotiation=direct` with a mode that may end in plaintext.
    #[error("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full")]
    WeakDirect,
    /// An environment variable that is no text.
    #[error("the environment variable {0} is not UTF-8 text")]
    NotUnicode(&'static str),
}

const EXPECTED: &str = "postgres://USER:PASSWORD@HOST:PORT/DATABASE";

fn or(variable: Option<&str>) -> String {
    variable.map_or_else(String::new, |name| format!(" or in {name}"))
}

fn encodings(characters: &[char]) -> String {
    let one = |character: &char| format!("`{character}` as `%{:02X}`", u32::from(*character));
    characters.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A part of a connection string, for errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// In front of the password.
    User,
    /// Between the user and the last `@`.
    Password,
    /// Between the `@` and the port.
    Host,
    /// Behind the port.
    Database,
    /// Behind the question mark.
    Parameters,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::User => "the user name",
            Part::Password => "the password",
            Part::Host => "the host",
            Part::Database => "the database name",
            Part::Parameters => "the parameters",
        })
    }
}

/// How far TLS goes, in libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Plaintext.
    Disable,
    /// TLS where the server has it, else plaintext; nothing is verified.
    Prefer,
    /// TLS; nothing is verified.
    Require,
    /// TLS, and the server's certificate comes from a trusted CA.
    VerifyCa,
    /// As `VerifyCa`, and the certificate is for the host we connect to.
    VerifyFull,
}

impl SslMode {
    /// The modes in ascending order.
    pub const ALL: [SslMode; 5] = [
        SslMode::Disable,
        SslMode::Prefer,
        SslMode::Require,
        SslMode::VerifyCa,
        SslMode::VerifyFull,
    ];

    /// The word that libpq uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SslMode::Disable => "disable",
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        }
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SslMode {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let refusal = if word == "allow" { Error::Allow } else { Error::SslMode };
        let found = SslMode::ALL.into_iter().find(|mode| mode.as_str() == word);
        found.ok_or(refusal)
    }
}

/// Whose signature makes a server's certificate good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCert {
    /// The CAs that the operating system trusts.
    System,
    /// The certificates in a PEM file.
    File(PathBuf),
}

impl From<&str> for RootCert {
    fn from(value: &str) -> Self {
        match value {
            "system" => RootCert::System,
            path => RootCert::File(path.into()),
        }
    }
}

/// What is asked of TLS, settled: `require` with a root has become `verify-ca`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPolicy {
    /// How far TLS goes.
    pub mode: SslMode,
    /// The roots: present if, and only if, the mode is `VerifyCa` or `VerifyFull`.
    pub root: Option<RootCert>,
}

/// The `PG…` variables that fill what a string leaves out. An empty one counts as absent.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Reads the variables of this process.
    ///
    /// # Errors
    ///
    /// [`Error::NotUnicode`] if one of them is not UTF-8.
    pub fn from_process() -> Result<Self, Error> {
        let read = |&(name, _): &(&'static str, &str)| match std::env::var(name) {
            Ok(value) => Some(Ok((name.to_owned(), value))),
            Err(std::env::VarError::NotPresent) => None,
            Err(std::env::VarError::NotUnicode(_)) => Some(Err(Error::NotUnicode(name))),
        };
        VARIABLES.iter().filter_map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl fmt::Debug for Environment {
    /// Lists names only: one of the values is a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What flags say, which wins over the string and the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--sslmode`.
    pub sslmode: Option<SslMode>,
    /// `--sslrootcert`.
    pub sslrootcert: Option<RootCert>,
    /// `--connect-timeout`, for each address; zero waits for ever.
    pub connect_timeout: Option<Duration>,
}

/// Where to connect, and how. Displays as `user@host:port/database`, safe for a terminal; neither
/// `Display` nor `Debug` shows the password.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// What tokio-postgres is to be given: host, user and database are always set, TCP keepalives
    /// and a connect timeout (10 s) unless the string says otherwise. The application name is
    /// the string's or PGAPPNAME's; where it is absent the caller sets one.
    pub config: Config,
    /// What [`crate::database::tls::connector`] is to be given.
    pub tls: TlsPolicy,
}

impl Target {
    /// Reads a connection string alone: no environment, no flags.
    ///
    /// # Errors
    ///
    /// Those of [`parse`].
    pub fn from_string(text: &str) -> Result<Self, Error> {
        parse(text, &Environment::default(), &Overrides::default())
    }

    /// The hosts and ports in the order in which they are tried. A unix socket's host is the
    /// directory it is in.
    pub fn addresses(&self) -> impl Iterator<Item = (String, u16)> + '_ {
        let ports = self.config.get_ports();
        self.config.get_hosts().iter().enumerate().map(|(index, host)| {
            let name = match host {
                Host::Tcp(name) => name.clone(),
                #[cfg(unix)]
                Host::Unix(path) => path.display().to_string(),
            };
            (name, *ports.get(index).or(ports.first()).unwrap_or(&5432))
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = |(host, port): (String, u16)| match host.contains([':', '/']) {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let addresses = self.addresses().map(address).collect::<Vec<_>>().join(",");
        let user = self.config.get_user().unwrap_or_default();
        let database = self.config.get_dbname().unwrap_or_default();
        for character in format!("{user}@{addresses}/{database}").chars() {
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
pub fn parse(text: &str, env: &Environment, overrides: &Overrides) -> Result<Target, Error> {
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
    check_addresses(&config)?;

    if !parameters.contains_key("connect_timeout") {
        let timeout = overrides.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        // To tokio-postgres no timeout means no limit, and zero a failure at once.
        if !timeout.is_zero() {
            config.connect_timeout(timeout);
        }
    }
    if let Some(value) = parameters.get("tcp_user_timeout") {
        let milliseconds = value.parse().map_err(|_| invalid("tcp_user_timeout"))?;
        config.tcp_user_timeout(Duration::from_millis(milliseconds));
    }
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
    let on_socket = config.get_hosts().iter().any(is_socket);
    if config.get_ssl_negotiation() == SslNegotiation::Direct && tls.mode < SslMode::Require && !on_socket {
        return Err(Error::WeakDirect);
    }
    Ok(Target { config, tls })
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
        _ => Ok(text),
    }
}

fn strip_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let ours = ["postgres", "postgresql"]
        .iter()
        .any(|name| scheme.eq_ignore_ascii_case(name));
    ours.then_some(rest)
}

/// Splits what follows `postgres://`.
///
/// A raw `@` may stand in one place only, so the last one ends the password, and everything in
/// front of it that looks like another part of the URL is an unescaped character.
fn split_url(rest: &str) -> Result<Vec<Pair>, Error> {
    if rest.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Err(Error::Whitespace);
    }
    if rest.ends_with(['"', '\'']) {
        return Err(Error::Quote);
    }
    let mut pairs = Vec::new();
    let (credentials, location) = match rest.rsplit_once('@') {
        Some((credentials, location)) => (Some(credentials), location),
        None => (None, rest),
    };
    if let Some(credentials) = credentials {
        if ends_inside_a_parameter(credentials) {
            return Err(Error::Unescaped {
                part: Part::Parameters,
                characters: vec!['@'],
            });
        }
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        // The password first: with a `/` in it, what stands before its `:` is a user all the same.
        if let Some(password) = password {
            pairs.push(Pair::new("password", decode(password, "@:/?#", Part::Password)?));
        }
        pairs.push(Pair::new("user", decode(user, "@/?#", Part::User)?));
    }

    let (location, query) = match location.split_once('?') {
        Some((location, query)) => (location, Some(query)),
        None => (location, None),
    };
    let (authority, database) = match location.split_once('/') {
        Some((authority, database)) => (authority, Some(database)),
        None => (location, None),
    };
    split_authority(authority, &mut pairs)?;
    if let Some(database) = database {
        pairs.push(Pair::new("dbname", decode(database, "/#", Part::Database)?));
    }
    for parameter in query.into_iter().flat_map(|query| query.split('&')) {
        if parameter.is_empty() {
            continue;
        }
        let unreadable = Error::Malformed("a parameter without `=` behind the ? of the URL: write key=value");
        let (key, value) = parameter.split_once('=').ok_or(unreadable)?;
        pairs.push(Pair {
            key: decode(key, "#", Part::Parameters)?,
            value: decode(value, "#", Part::Parameters)?,
            bounded: false,
        });
    }
    Ok(pairs)
}

/// Whether a text in front of an `@` ends in a parameter that we know: then the `@` belongs to the
/// parameter's value, and the user's password is not to blame.
fn ends_inside_a_parameter(credentials: &str) -> bool {
    let Some((_, query)) = credentials.rsplit_once('?') else {
        return false;
    };
    let last = query.rsplit('&').next().unwrap_or(query);
    last.split_once('=').is_some_and(|(key, _)| known(key).is_some())
}

fn split_authority(authority: &str, pairs: &mut Vec<Pair>) -> Result<(), Error> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for address in authority.split(',') {
        let (host, port) = if let Some(bracketed) = address.strip_prefix('[') {
            let (host, port) = bracketed.split_once(']').ok_or(Error::Host)?;
            let host = decode(host, "#", Part::Host)?;
            let without_zone = host.split('%').next().unwrap_or_default();
            without_zone.parse::<Ipv6Addr>().map_err(|_| Error::Host)?;
            let port = if port.is_empty() {
                Some("")
            } else {
                port.strip_prefix(':')
            };
            (host, port.ok_or(Error::Host)?)
        } else {
            if address.parse::<Ipv6Addr>().is_ok() {
                return Err(Error::Brackets);
            }
            let (host, port) = address.split_once(':').unwrap_or((address, ""));
            (decode(host, "#", Part::Host)?, port)
        };
        // Before the parameters are looked at: without its `@`, a URL has the password here, and
        // the rest of it further on.
        if !is_port(port) {
            return Err(Error::Port);
        }
        hosts.push(host);
        ports.push(port);
    }
    pairs.push(Pair::new("host", hosts.join(",")));
    if ports.iter().any(|port| !port.is_empty()) {
        pairs.push(Pair::new("port", ports.join(",")));
    }
    Ok(())
}

/// Decodes percent-encoding, after making sure that nothing was left unescaped.
fn decode(text: &str, forbidden: &str, part: Part) -> Result<String, Error> {
    let bytes = text.as_bytes();
    let is_escape = |index: usize| {
        let digits = bytes.get(index + 1..index + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let mut characters = Vec::new();
    for (index, character) in text.char_indices() {
        let raw = forbidden.contains(character) || character == '%' && !is_escape(index);
        if raw && !characters.contains(&character) {
            characters.push(character);
        }
    }
    if !characters.is_empty() {
        return Err(Error::Unescaped { part, characters });
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| Error::NotText(part))?;
    if decoded.contains('\0') {
        Err(Error::NotText(part))
    } else {
        Ok(decoded.into_owned())
    }
}

struct Pair {
    key: String,
    value: String,
    /// Whether the value surely ended where its author meant it to.
    bounded: bool,
}

impl Pair {
    fn new(key: &str, value: String) -> Self {
        Self {
            key: key.to_owned(),
            value,
            bounded: true,
        }
    }
}

/// Splits `key=value key='value'`, with libpq's rules for spaces, quotes and backslashes.
fn split_pairs(text: &str) -> Result<Vec<Pair>, Error> {
    let first = text.split('=').next().unwrap_or_default().trim_end();
    if known(first).is_none() {
        let lower = text.to_ascii_lowercase();
        let web = ["http://", "https://", "ws://", "wss://"];
        if lower.contains("postgres://") || lower.contains("postgresql://") {
            return Err(Error::Prefix);
        } else if web.iter().any(|scheme| lower.starts_with(scheme))
            || lower.contains(".supabase.") && !text.contains(['=', '@'])
        {
            return Err(Error::WebAddress);
        } else if lower.contains("://") {
            return Err(Error::Scheme);
        } else if !is_word(first) || first == text {
            return Err(Error::NotAConnectionString);
        }
    }

    let mut pairs = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|character: char| character == '=' || character.is_whitespace());
        let (key, after) = rest.split_at(end.unwrap_or(rest.len()));
        let after = after.trim_start().strip_prefix('=').map(str::trim_start);
        let after = after.ok_or(Error::Malformed(
            "a word without `=`: put single quotes around a value that holds spaces",
        ))?;
        let quoted = after.starts_with('\'');
        let (value, after) = take_value(after)?;
        pairs.push(Pair {
            key: key.to_owned(),
            value,
            // A later quote may be the one that was meant to close this value.
            bounded: quoted && !after.contains('\''),
        });
        rest = after.trim_start();
    }
    Ok(pairs)
}

/// Takes one value off the front of a text, and gives what follows it.
fn take_value(text: &str) -> Result<(String, &str), Error> {
    let (text, quoted) = match text.strip_prefix('\'') {
        Some(text) => (text, true),
        None => (text, false),
    };
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => {
                let after = &text[index + 1..];
                if after.starts_with(|next: char| !next.is_whitespace()) {
                    return Err(Error::Malformed("a quote inside a quoted value: write it as \\'"));
                }
                return Ok((value, after));
            }
            _ if !quoted && character.is_whitespace() => return Ok((value, &text[index..])),
            _ => value.push(character),
        }
    }
    if quoted {
        Err(Error::Malformed(
            "a quoted value without its closing quote: add it, and write a quote inside as \\'",
        ))
    } else {
        Ok((value, ""))
    }
}

/// Finds the name of a parameter that is passed on or answered for, or dropped, or refused.
fn known(key: &str) -> Option<&'static str> {
    let passed_on = PASSED_ON.iter().map(|(name, _)| name);
    let refused = REFUSED.iter().map(|(name, _)| name);
    passed_on
        .chain(OURS)
        .chain(DROPPED)
        .chain(refused)
        .copied()
        .find(|name| *name == key)
}

fn is_word(text: &str) -> bool {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    !text.is_empty() && text.chars().all(plain)
}

type Parameters = BTreeMap<&'static str, String>;

/// Sorts out the parameters: unknown and unsupported ones are errors, needless and empty ones go.
fn settle(pairs: Vec<Pair>) -> Result<Parameters, Error> {
    let any_known = pairs.iter().any(|pair| known(&pair.key).is_some());
    let mut parameters = Parameters::new();
    let mut after_password = false;
    for Pair { key, value, bounded } in pairs {
        let Some(name) = known(&key) else {
            return Err(if after_password {
                Error::AfterPassword
            } else if !any_known {
                Error::NotAConnectionString
            } else if !is_word(&key) {
                Error::Malformed("a parameter whose name is not a plain word: write key=value")
            } else if key.len() > 40 {
                Error::Unknown(format!("{}…", &key[..40]))
            } else {
                Error::Unknown(key)
            });
        };
        after_password = name == "password" && !bounded;
        if let Some((name, remedy)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            return Err(Error::Unsupported(name, remedy));
        }
        if value.is_empty() {
            parameters.remove(name);
        } else if !DROPPED.contains(&name) {
            parameters.insert(name, value);
        }
    }
    Ok(parameters)
}

/// Fills in what is missing, and refuses what can't be meant. Gives the names of the parameters
/// that came from the environment.
fn fill(parameters: &mut Parameters, env: &Environment) -> Result<Vec<&'static str>, Error> {
    let addressed = parameters.contains_key("host") || parameters.contains_key("hostaddr");
    let mut from_env = Vec::new();
    for &(variable, key) in VARIABLES {
        let value = env.0.get(variable).filter(|value| !value.is_empty());
        let wanted = !(parameters.contains_key(key) || addressed && key.starts_with("host"));
        if let Some(value) = value.filter(|_| wanted) {
            if value.contains('\0') {
                return Err(Error::NotUnicode(variable));
            }
            parameters.insert(key, value.clone());
            from_env.push(key);
        }
    }
    // TLS needs a name, so an address stands for itself.
    if let (None, Some(address)) = (parameters.get("host"), parameters.get("hostaddr")) {
        parameters.insert("host", address.clone());
    }

    let parts = [("user", Part::User), ("password", Part::Password), ("host", Part::Host)];
    for (key, part) in parts {
        if parameters.get(key).is_some_and(|value| is_placeholder(value)) {
            return Err(Error::Placeholder(part));
        }
    }
    let host = parameters.get("host").ok_or(Error::Missing("host", "PGHOST"))?;
    for host in host.split(',').filter(|host| !host.starts_with('/')) {
        let lower = host.to_ascii_lowercase();
        if host.contains("://") || is_api_host(&lower) {
            return Err(Error::WebAddress);
        }
        let strange = |character: char| character.is_control() || " @/?#[];=".contains(character);
        if host.is_empty() || host.contains(strange) {
            return Err(Error::Host);
        }
    }
    let mut ports = parameters.get("port").into_iter().flat_map(|ports| ports.split(','));
    if !ports.all(is_port) {
        return Err(Error::Port);
    }
    let user = parameters.get("user").ok_or(Error::Missing("user", "PGUSER"))?.clone();
    parameters.entry("dbname").or_insert(user);
    Ok(from_env)
}

/// Whether a text is a port, or stands for the default.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.parse().is_ok_and(|port: u16| port > 0)
}

fn is_placeholder(value: &str) -> bool {
    let value = value.to_ascii_uppercase().replace('_', "-");
    let inside = ["[YOUR-", "[PASSWORD]", "<PASSWORD>", "<YOUR-"];
    inside.iter().any(|placeholder| value.contains(placeholder)) || value == "YOUR-PASSWORD"
}

/// Whether a host is a project's API: REF.supabase.co, where the database is db.REF.supabase.co.
fn is_api_host(host: &str) -> bool {
    host.strip_suffix(".supabase.co")
        .is_some_and(|project| !project.contains('.'))
}

/// Has tokio-postgres parse what is its own. The error is the parameter that it refuses.
fn build(parameters: &Parameters) -> Result<Config, &'static str> {
    let mut texts = Vec::new();
    for &(name, theirs) in PASSED_ON {
        let Some(value) = parameters.get(name) else {
            continue;
        };
        let value = match (name, value.as_str()) {
            // Of libpq's finer words, what tokio-postgres can tell apart.
            ("target_session_attrs", "primary") => "read-write",
            ("target_session_attrs", "standby") => "read-only",
            (_, value) => value,
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

fn is_socket(host: &Host) -> bool {
    !matches!(host, Host::Tcp(_))
}

fn check_addresses(config: &Config) -> Result<(), Error> {
    let (hosts, ports) = (config.get_hosts(), config.get_ports());
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() && addresses.len() != hosts.len() || ports.len() > 1 && ports.len() != hosts.len() {
        return Err(Error::Count);
    }
    // One policy holds for all hosts, and a socket has no TLS.
    let sockets = hosts.iter().filter(|host| is_socket(host)).count();
    if sockets > 0 && (sockets < hosts.len() || !addresses.is_empty()) {
        return Err(Error::Mixed);
    }
    Ok(())
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            let address = name.parse::<IpAddr>();
            name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.to_canonical().is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn tls_policy(
    parameters: &Parameters,
    config: &Config,
    overrides: &Overrides,
    invalid: impl Fn(&'static str) -> Error,
) -> Result<TlsPolicy, Error> {
    let mut mode = parameters.get("sslmode").map(|word| word.parse()).transpose()?;
    if let Some(value) = parameters.get("ssl") {
        if value != "true" {
            return Err(invalid("ssl"));
        }
        mode = mode.or(Some(SslMode::Require));
    }
    let mode = overrides.sslmode.or(mode);
    let root = parameters.get("sslrootcert").map(|value| value.as_str().into());
    let root = overrides.sslrootcert.clone().or(root);

    if config.get_hosts().iter().any(is_socket) {
        return Ok(TlsPolicy {
            mode: SslMode::Disable,
            root: None,
        });
    }
    let local = config.get_hosts().iter().all(is_loopback)
        && config
            .get_hostaddrs()
            .iter()
            .all(|address| address.to_canonical().is_loopback());
    let mode = match (mode, &root) {
        (None | Some(SslMode::VerifyFull), Some(RootCert::System)) => SslMode::VerifyFull,
        (Some(_), Some(RootCert::System)) => return Err(Error::WeakSystem),
        (None | Some(SslMode::Require), Some(RootCert::File(_))) => SslMode::VerifyCa,
        (Some(mode), _) => mode,
        (None, None) if local => SslMode::Prefer,
        (None, None) => SslMode::Require,
    };
    let verifies = mode >= SslMode::VerifyCa;
    Ok(TlsPolicy {
        mode,
        root: verifies.then(|| root.unwrap_or(RootCert::System)),
    })
}

#[cfg(test)]
mod tests;
