//! TLS with libpq's meaning of `require`, `verify-ca` and `verify-full`, on rustls and ring.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{self, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;
use x509_cert::der::{Decode, Encode};

use crate::config::{RootCert, SslMode, SupabaseHost, TlsPolicy};

/// Why no TLS connection can be attempted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file of root certificates can't be read.
    #[error("the root certificate {} can't be read: {reason}", shown(file))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system says.
        #[source]
        reason: io::Error,
    },
    /// The file of root certificates holds something else.
    #[error(
        "the root certificate {} holds no certificate in PEM form \
         (-----BEGIN CERTIFICATE-----): download it again",
        shown(.0)
    )]
    NoCertificate(PathBuf),
    /// The operating system trusts nobody, or doesn't say whom.
    #[error(
        "no root certificates of the system were found: \
         install the package ca-certificates, or give sslrootcert=PATH"
    )]
    NoSystemRoots,
    /// rustls refuses its own defaults.
    #[error("TLS can't be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// A file's name, unless it is a connection string in the wrong place.
fn shown(file: &Path) -> String {
    let name = file.display().to_string();
    if name.contains("://") { "…".into() } else { name }
}

/// Makes what tokio-postgres needs to speak TLS as far as the policy goes.
///
/// `Disable`, `Prefer` and `Require` verify nothing but that the server has the key of the
/// certificate it shows, without which SCRAM's channel binding would be worth nothing. Whether
/// plaintext will do is not decided here but by the mode in tokio-postgres's configuration.
///
/// A certificate that stands itself in the root file is trusted, a CA or not.
///
/// # Errors
///
/// The roots can't be read, or there are none.
pub(crate) fn connector(policy: &TlsPolicy) -> Result<MakeRustlsConnect, Error> {
    client_config(policy).map(MakeRustlsConnect::new)
}

fn client_config(policy: &TlsPolicy) -> Result<ClientConfig, Error> {
    let trusted = match &policy.root {
        _ if policy.mode < SslMode::VerifyCa => Vec::new(),
        Some(RootCert::File(file)) => read_certificates(file)?,
        Some(RootCert::System) | None => rustls_native_certs::load_native_certs().certs,
    };
    let mut config = config(policy.mode, trusted, policy.root.as_ref())?;
    // PostgreSQL 17 demands it for sslnegotiation=direct, and older servers ignore it.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

/// What a client of another service needs: the server's certificate and its host name are verified always. Trusted are the CAs of
/// the system, and those of the file that the database's connection trusts.
///
/// # Errors
///
/// The roots can't be read, or there are none.
pub(crate) fn verifying_client(root: Option<&RootCert>) -> Result<ClientConfig, Error> {
    let mut trusted = rustls_native_certs::load_native_certs().certs;
    if let Some(RootCert::File(file)) = root {
        trusted.extend(read_certificates(file)?);
    }
    config(SslMode::VerifyFull, trusted, root)
}

fn config(
    mode: SslMode,
    trusted: Vec<CertificateDer<'static>>,
    root: Option<&RootCert>,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    let (valid, _) = roots.add_parsable_certificates(trusted.iter().cloned());
    if valid == 0 && mode >= SslMode::VerifyCa {
        return Err(match root {
            Some(RootCert::File(file)) => Error::NoCertificate(file.clone()),
            Some(RootCert::System) | None => Error::NoSystemRoots,
        });
    }
    let verifier = Verifier {
        mode,
        roots,
        trusted,
        algorithms: provider.signature_verification_algorithms,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = std::fs::read(file).map_err(|reason| Error::Unreadable {
        file: file.to_owned(),
        reason,
    })?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    certificates.map_err(|_| Error::NoCertificate(file.to_owned()))
}

struct Verifier {
    mode: SslMode,
    roots: RootCertStore,
    trusted: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.mode < SslMode::VerifyCa {
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        let chain =
            verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, self.algorithms.all);
        match chain {
            Ok(()) => {}
            // `openssl req -x509` marks a server's certificate as a CA, which webpki refuses for
            // a server; the dates it has checked before.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if self.trusted.contains(certificate) => {}
            Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_)))
                if is_self_issued(certificate) =>
            {
                return Err(CertificateError::Other(OtherError(Arc::new(SelfSigned))).into());
            }
            Err(error) => return Err(error),
        }
        if self.mode == SslMode::VerifyFull {
            verify_server_name(&parsed, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = public_key(certificate)?;
        crypto::verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Gives a certificate's key, of an X.509 version 1 certificate too: PostgreSQL's documentation
/// had people make such, and webpki doesn't read them.
fn public_key(certificate: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, rustls::Error> {
    ParsedCertificate::try_from(certificate)
        .map(|parsed| parsed.subject_public_key_info())
        .or_else(|error| {
            let parsed = x509_cert::Certificate::from_der(certificate).ok();
            let key = parsed.and_then(|parsed| parsed.tbs_certificate.subject_public_key_info.to_der().ok());
            key.map(SubjectPublicKeyInfoDer::from).ok_or(error)
        })
}

fn is_self_issued(certificate: &CertificateDer<'_>) -> bool {
    x509_cert::Certificate::from_der(certificate)
        .is_ok_and(|parsed| parsed.tbs_certificate.issuer == parsed.tbs_certificate.subject)
}

#[derive(Debug)]
struct SelfSigned;

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("self-signed certificate")
    }
}

impl StdError for SelfSigned {}

/// Says in one sentence what went wrong with TLS, and what to do, if an error of tokio-postgres
/// is about TLS at all. `host` is where the connection went: on Supabase's hosts the sentence
/// tells where to download the CA.
pub(crate) fn explain(error: &(dyn StdError + 'static), host: &str) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(explain_rustls(error, host));
        }
        if error.to_string() == "server does not support TLS" {
            return Some(
                "the server has no TLS: turn ssl on there, or use sslmode=disable on a network \
                 you trust"
                    .to_owned(),
            );
        }
        // An io::Error's source is not the error it wraps, but that one's source.
        next = match error.downcast_ref::<io::Error>() {
            Some(wrapper) => wrapper.get_ref().map(|wrapped| wrapped as _),
            None => error.source(),
        };
    }
    None
}

fn explain_rustls(error: &rustls::Error, host: &str) -> String {
    use CertificateError as Bad;
    let rustls::Error::InvalidCertificate(bad) = error else {
        return match error {
            rustls::Error::PeerIncompatible(_) | rustls::Error::AlertReceived(_) => {
                format!("the server refuses TLS as we speak it, version 1.2 or 1.3 ({error})")
            }
            _ => format!("the TLS handshake failed ({error})"),
        };
    };
    match bad {
        Bad::UnknownIssuer | Bad::BadSignature => {
            let where_from = if SupabaseHost::of(host).is_some() {
                "download it in the dashboard, Database Settings, SSL Configuration, and give"
            } else {
                "give that CA's certificate as"
            };
            format!(
                "the server's certificate comes from a CA that is not trusted: \
                 {where_from} sslrootcert=PATH"
            )
        }
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
            "the server's certificate is for another host name: connect by a name that it holds, \
             or use sslmode=verify-ca"
                .to_owned()
        }
        Bad::Expired | Bad::ExpiredContext { .. } => {
            "the server's certificate has expired: renew it, or check the clock here".to_owned()
        }
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: check the clock here".to_owned()
        }
        Bad::Other(OtherError(other)) if other.is::<SelfSigned>() => {
            "the server's certificate is self-signed: give a copy of it as sslrootcert=PATH, \
             or use sslmode=require, which verifies nothing"
                .to_owned()
        }
        _ => format!(
            "the server's certificate can't be verified ({bad}): \
             have it issued again, or use sslmode=require, which verifies nothing"
        ),
    }
}

#[cfg(test)]
mod tests;
