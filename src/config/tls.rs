//! How far TLS goes, and whom it trusts.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::error::Error;
use super::parameters::Parameters;
use super::target::{Overrides, is_socket};

/// How far TLS goes, in libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SslMode {
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
    pub(crate) const ALL: [SslMode; 5] = [
        SslMode::Disable,
        SslMode::Prefer,
        SslMode::Require,
        SslMode::VerifyCa,
        SslMode::VerifyFull,
    ];

    /// The word that libpq uses.
    pub(crate) fn as_str(self) -> &'static str {
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
pub(crate) enum RootCert {
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
pub(crate) struct TlsPolicy {
    /// How far TLS goes.
    pub(crate) mode: SslMode,
    /// The roots: present if, and only if, the mode is `VerifyCa` or `VerifyFull`.
    pub(crate) root: Option<RootCert>,
}

pub(super) fn tls_policy(
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
