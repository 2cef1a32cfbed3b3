//! Why a connection string was refused.

use std::fmt;

use crate::failure::Failure;

/// Why a connection string was refused, in one line, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("the connection string is empty: expected {EXPECTED}")]
    Empty,
    #[error("this is not a connection string: expected {EXPECTED}")]
    NotAConnectionString,
    /// The address of the project's API or dashboard, or a bare host.
    #[error("this is the API's address; the connection string is in the dashboard, under Connect")]
    WebAddress,
    #[error("this is not a PostgreSQL URL: it begins with postgres:// or postgresql://")]
    Scheme,
    /// A URL with something in front of it, as `psql postgres://…` or `jdbc:postgresql://…`.
    #[error("something stands in front of postgres://: pass the URL alone")]
    Prefix,
    #[error("the connection string has a quote at one end only: remove it")]
    Quote,
    #[error(
        "the URL holds a space, a line break or a control character: \
         remove it, or write a space as %20"
    )]
    Whitespace,
    /// Copied along from a web page, a chat or a document.
    #[error(
        "{place} holds an invisible character, U+{:04X}: delete it, or if it belongs to the password, write it as {} in \
         a URL",
        u32::from(*character),
        escape(*character)
    )]
    Invisible {
        /// The connection string, or a variable's name.
        place: &'static str,
        character: char,
    },
    #[error(
        "the password stands in brackets, as in the dashboard's [YOUR-PASSWORD]: remove them, or write brackets that \
         belong to it as %5B and %5D"
    )]
    BracketedPassword,
    #[error("unescaped character in {part} of the URL: write {}", encodings(characters))]
    Unescaped {
        part: Part,
        /// The offending characters, each once, in the order of their first appearance.
        characters: Vec<char>,
    },
    #[error("the percent-encoded bytes in {0} of the URL are not UTF-8 text")]
    NotText(Part),
    #[error("write an IPv6 address in brackets: [2001:db8::1]:5432")]
    Brackets,
    #[error("the host is not a host name, an address or a socket's directory: expected {EXPECTED}")]
    Host,
    #[error(
        "the port (or PGPORT) is not a number from 1 to 65535: expected {EXPECTED}, \
         with : / ? # @ % in the password written as %3A %2F %3F %23 %40 %25"
    )]
    Port,
    #[error("the connection string (or PGHOST, PGHOSTADDR) names several hosts: give one")]
    SeveralHosts,
    #[error("a unix socket has no network address: leave out hostaddr, or give a host name")]
    SocketWithAddress,
    #[error("the connection string has {0}")]
    Malformed(&'static str),
    #[error("unknown parameter `{0}` in the connection string: remove it, or check its spelling")]
    Unknown(String),
    /// A word behind the password that may be a part of it.
    #[error(
        "what follows the password is not a known parameter: quote a password that holds spaces, \
         and in a URL write & as %26"
    )]
    AfterPassword,
    #[error("`{0}` in the connection string is not supported: {1}")]
    Unsupported(&'static str, &'static str),
    #[error("`{parameter}` has an invalid value: check it in the connection string{}", or(*variable))]
    Value {
        parameter: &'static str,
        /// The environment variable that gave the value, if one did.
        variable: Option<&'static str>,
    },
    #[error(
        "{0} is still a placeholder such as [YOUR-PASSWORD]: put the real one in its place, \
         without brackets"
    )]
    Placeholder(Part),
    #[error("the connection string names no {0}: expected {EXPECTED}, or set {1}")]
    Missing(&'static str, &'static str),
    #[error(
        "sslmode=allow is not supported, it prefers plaintext: \
         use prefer (TLS where the server has it) or require"
    )]
    Allow,
    #[error("unknown sslmode: use disable, prefer, require, verify-ca or verify-full")]
    SslMode,
    #[error(
        "sslrootcert=system is of use with sslmode=verify-full only: \
         anyone can have a certificate from a public CA, so the host name must be checked"
    )]
    WeakSystem,
    #[error("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full")]
    WeakDirect,
    #[error("the environment variable {0} is not UTF-8 text")]
    NotUnicode(&'static str),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::usage(error.to_string())
    }
}

const EXPECTED: &str = "postgres://USER:PASSWORD@HOST:PORT/DATABASE";

fn or(variable: Option<&str>) -> String {
    variable.map_or_else(String::new, |name| format!(" or in {name}"))
}

fn encodings(characters: &[char]) -> String {
    let one = |character: &char| format!("`{character}` as `{}`", escape(*character));
    characters.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A character percent-encoded, whichever it is.
fn escape(character: char) -> String {
    let mut bytes = [0; 4];
    let bytes = character.encode_utf8(&mut bytes).bytes();
    bytes.map(|byte| format!("%{byte:02X}")).collect()
}

/// A part of a connection string, for errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
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
