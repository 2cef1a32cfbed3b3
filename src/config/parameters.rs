//! The parameters of a connection string: which are passed on, answered for here, dropped or refused, and what the
//! environment adds.

use std::collections::BTreeMap;
use std::fmt;

use super::error::{Error, Part};
use super::supabase::SupabaseHost;
use crate::output::is_invisible;

/// Parameters that tokio-postgres parses, under libpq's name and under its own.
pub(super) const PASSED_ON: &[(&str, &str)] = &[
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
    "load_balance_hosts",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcompression",
    "sslsni",
    "binary_parameters",
    "connection_limit",
    "max_idle_connection_lifetime",
    "pgbouncer",
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
    ("require_auth", "leave it out, or use channel_binding=require"),
    ("service", "write out its host, user and database"),
    ("sslaccept", "use sslmode=verify-full"),
    ("sslcert", CLIENT_CERTIFICATE),
    ("sslcertmode", CLIENT_CERTIFICATE),
    ("sslkey", CLIENT_CERTIFICATE),
    ("sslpassword", CLIENT_CERTIFICATE),
];

const CLIENT_CERTIFICATE: &str = "log in with a password, not with a client certificate";

/// The environment variables that fill what a string leaves out, and the parameters they stand for.
pub(super) const VARIABLES: &[(&str, &str)] = &[
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

/// The `PG…` variables that fill what a string leaves out. An empty one counts as absent.
#[derive(Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Reads the variables of this process.
    ///
    /// # Errors
    ///
    /// [`Error::NotUnicode`] if one of them is not UTF-8.
    pub(crate) fn from_process() -> Result<Self, Error> {
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

pub(super) struct Pair {
    pub(super) key: String,
    pub(super) value: String,
    /// Whether the value surely ended where its author meant it to.
    pub(super) bounded: bool,
}

impl Pair {
    pub(super) fn new(key: &str, value: String) -> Self {
        Self {
            key: key.to_owned(),
            value,
            bounded: true,
        }
    }
}

/// Finds the name of a parameter that is passed on or answered for, or dropped, or refused.
pub(super) fn known(key: &str) -> Option<&'static str> {
    let passed_on = PASSED_ON.iter().map(|(name, _)| name);
    let refused = REFUSED.iter().map(|(name, _)| name);
    passed_on
        .chain(OURS)
        .chain(DROPPED)
        .chain(refused)
        .copied()
        .find(|name| *name == key)
}

/// The first character that can't be seen, or looks like a space and is another.
pub(super) fn find_invisible(text: &str) -> Option<char> {
    let is_strange_space = |character: char| character.is_whitespace() && !character.is_ascii();
    text.chars()
        .find(|character| is_invisible(*character) || is_strange_space(*character))
}

pub(super) fn is_word(text: &str) -> bool {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    !text.is_empty() && text.chars().all(plain)
}

pub(super) type Parameters = BTreeMap<&'static str, String>;

/// Sorts out the parameters: unknown and unsupported ones are errors, needless and empty ones go.
pub(super) fn settle(pairs: Vec<Pair>) -> Result<Parameters, Error> {
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
        if let Some((name, hint)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            return Err(Error::Unsupported(name, hint));
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
pub(super) fn fill(parameters: &mut Parameters, env: &Environment) -> Result<Vec<&'static str>, Error> {
    let addressed = parameters.contains_key("host") || parameters.contains_key("hostaddr");
    let mut from_env = Vec::new();
    for &(variable, key) in VARIABLES {
        let value = env.0.get(variable).filter(|value| !value.is_empty());
        let wanted = !(parameters.contains_key(key) || addressed && key.starts_with("host"));
        if let Some(value) = value.filter(|_| wanted) {
            if value.contains('\0') {
                return Err(Error::NotUnicode(variable));
            }
            if let Some(character) = find_invisible(value) {
                return Err(Error::Invisible {
                    place: variable,
                    character,
                });
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
    let several = |key| parameters.get(key).is_some_and(|hosts| hosts.contains(','));
    if several("host") || several("hostaddr") {
        return Err(Error::SeveralHosts);
    }
    if !host.starts_with('/') {
        if host.contains("://") || SupabaseHost::of(host) == Some(SupabaseHost::Api) {
            return Err(Error::WebAddress);
        }
        let strange = |character: char| character.is_control() || " @/?#[];=".contains(character);
        if host.is_empty() || host.contains(strange) {
            return Err(Error::Host);
        }
    }
    if parameters.get("port").is_some_and(|port| !is_port(port)) {
        return Err(Error::Port);
    }
    let user = parameters.get("user").ok_or(Error::Missing("user", "PGUSER"))?.clone();
    parameters.entry("dbname").or_insert(user);
    Ok(from_env)
}

/// Whether a text is a port, or stands for the default.
pub(super) fn is_port(text: &str) -> bool {
    text.is_empty() || text.parse().is_ok_and(|port: u16| port > 0)
}

pub(super) fn is_placeholder(value: &str) -> bool {
    let value = value.to_ascii_uppercase().replace('_', "-");
    let inside = ["[YOUR-", "[PASSWORD]", "<PASSWORD>", "<YOUR-"];
    inside.iter().any(|placeholder| value.contains(placeholder)) || value == "YOUR-PASSWORD"
}
