//! Over 400 lines: a server with certificates of its own, and a test for each of them.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use pem::Pem;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SigningKey, date_time_ymd};
use x509_cert::der::asn1::BitString;

use super::*;
use crate::config::Target;
use crate::database::bounded::Connector;
use crate::sandbox::{Options, Sandbox};

/// A sandbox of its own for each test, its server with a certificate or without.
struct Server {
    sandbox: Sandbox,
}

impl Server {
    /// Starts a server with a certificate and its key in PEM form, or without TLS.
    async fn start(certificate: Option<(&str, &str)>) -> Self {
        let sandbox = Sandbox::start(&Options::default()).await.unwrap();
        let server = Self { sandbox };
        if let Some((certificate, key)) = certificate {
            server.write("data/server.crt", certificate);
            server.write("data/server.key", key);
            server
                .sandbox
                .execute("postgres", "alter system set ssl = on")
                .await
                .unwrap();
            server
                .sandbox
                .execute("postgres", "select pg_reload_conf()")
                .await
                .unwrap();
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
            while server
                .connect("sslmode=require")
                .await
                .is_err_and(|error| error.contains("no TLS"))
            {
                assert!(std::time::Instant::now() < deadline, "the server never spoke TLS");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
        server
    }

    /// Writes a file that the server may read, and nobody else.
    fn write(&self, name: &str, content: &str) -> PathBuf {
        let directory = self.sandbox.dir();
        let path = directory.join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let owner = std::fs::metadata(directory).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        path
    }

    /// Connects as a user would, and tells whether over TLS, or what the user is told.
    async fn connect(&self, parameters: &str) -> Result<bool, String> {
        let host = "host=localhost hostaddr=127.0.0.1";
        self.connect_to(&format!("{host} port={} {parameters}", self.sandbox.port()))
            .await
    }

    async fn connect_to(&self, text: &str) -> Result<bool, String> {
        let password = self.sandbox.password();
        let text = format!("{text} user=postgres password={password} dbname=postgres");
        let target = Target::from_string(&text).unwrap();
        let connector = connector(&target.tls).map_err(|error| error.to_string())?;
        let mut config = target.config;
        let connector = Connector::take_over(&mut config, connector);
        let (client, connection) = connector
            .connect(&config)
            .await
            .map_err(|error| explain(&error, "localhost").unwrap_or_else(|| format!("unexplained: {error:?}")))?;
        let connection = tokio::spawn(connection);
        let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        let tls = client.query_one(sql, &[]).await.unwrap().get(0);
        drop(client);
        connection.await.unwrap().unwrap();
        Ok(tls)
    }

    /// Writes a root certificate, and gives the parameter that names it.
    fn root(&self, certificate: &str) -> String {
        format!("sslrootcert={}", self.write("root.crt", certificate).display())
    }
}

struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// Issues a certificate, and gives it and its key in PEM form.
    fn issue(&self, params: &CertificateParams, key: &KeyPair) -> (String, String) {
        (params.signed_by(key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn issue_for(&self, name: &str) -> (String, String) {
        self.issue(&params_for(name), &KeyPair::generate().unwrap())
    }
}

fn params_for(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

async fn serve((certificate, key): &(String, String)) -> Server {
    Server::start(Some((certificate, key))).await
}

#[tokio::test]
async fn the_right_ca_verifies_and_another_one_does_not() {
    let ca = Ca::new("right");
    let server = serve(&ca.issue_for("localhost")).await;
    assert_eq!(server.connect("").await, Ok(true));
    assert_eq!(server.connect("sslmode=require").await, Ok(true));
    assert_eq!(server.connect("sslmode=disable").await, Ok(false));
    let root = server.root(&ca.pem);
    assert_eq!(server.connect(&format!("{root} sslmode=verify-full")).await, Ok(true));
    assert_eq!(server.connect(&format!("{root} sslmode=verify-ca")).await, Ok(true));

    let unknown = "the server's certificate comes from a CA that is not trusted: \
                   give that CA's certificate as sslrootcert=PATH";
    for name in ["another", "right"] {
        let root = server.root(&Ca::new(name).pem);
        // As in libpq, a root makes require verify.
        for mode in ["require", "verify-ca", "verify-full"] {
            let outcome = server.connect(&format!("{root} sslmode={mode}")).await;
            assert_eq!(outcome, Err(unknown.to_owned()), "{name} {mode}");
        }
        assert_eq!(server.connect(&format!("{root} sslmode=prefer")).await, Ok(true));
    }
    assert_eq!(server.connect("sslmode=verify-full").await, Err(unknown.to_owned()));
}

#[tokio::test]
async fn an_intermediate_ca_is_followed_to_its_root() {
    let root = Ca::new("root");
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "intermediate");
    let key = KeyPair::generate().unwrap();
    let pem = params.signed_by(&key, &root.issuer).unwrap().pem();
    let intermediate = Ca {
        pem,
        issuer: Issuer::new(params, key),
    };
    let (certificate, key) = intermediate.issue_for("localhost");
    let server = serve(&(certificate + &intermediate.pem, key)).await;
    let root = server.root(&root.pem);
    assert_eq!(server.connect(&format!("{root} sslmode=verify-full")).await, Ok(true));
}

#[tokio::test]
async fn a_wrong_host_name_is_refused_by_verify_full_alone() {
    let ca = Ca::new("ca");
    let server = serve(&ca.issue_for("db.example.com")).await;
    let root = server.root(&ca.pem);
    assert_eq!(server.connect(&format!("{root} sslmode=verify-ca")).await, Ok(true));
    let outcome = server.connect(&format!("{root} sslmode=verify-full")).await;
    assert!(
        outcome
            .unwrap_err()
            .starts_with("the server's certificate is for another host name")
    );
}

#[tokio::test]
async fn an_address_is_verified_as_a_host_name_is() {
    let ca = Ca::new("ca");
    let server = serve(&ca.issue_for("127.0.0.1")).await;
    let root = server.root(&ca.pem);
    let text = format!(
        "hostaddr=127.0.0.1 port={} sslmode=verify-full {root}",
        server.sandbox.port()
    );
    assert_eq!(server.connect_to(&text).await, Ok(true));
    assert!(server.connect(&format!("{root} sslmode=verify-full")).await.is_err());
}

#[tokio::test]
async fn an_expired_and_an_early_certificate_are_told_apart() {
    let ca = Ca::new("ca");
    let mut params = params_for("localhost");
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2001, 1, 1);
    let server = serve(&ca.issue(&params, &KeyPair::generate().unwrap())).await;
    let root = server.root(&ca.pem);
    assert_eq!(server.connect("sslmode=require").await, Ok(true));
    let outcome = server.connect(&format!("{root} sslmode=verify-ca")).await;
    assert!(outcome.unwrap_err().starts_with("the server's certificate has expired"));

    params.not_before = date_time_ymd(4000, 1, 1);
    params.not_after = date_time_ymd(4001, 1, 1);
    let server = serve(&ca.issue(&params, &KeyPair::generate().unwrap())).await;
    let root = server.root(&ca.pem);
    let outcome = server.connect(&format!("{root} sslmode=verify-ca")).await;
    assert!(
        outcome
            .unwrap_err()
            .starts_with("the server's certificate is not valid yet")
    );
}

#[tokio::test]
async fn a_self_signed_certificate_is_good_as_its_own_root_while_it_lasts() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut params = params_for("localhost");
        params.is_ca = is_ca;
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        let server = serve(&(certificate.clone(), key.serialize_pem())).await;
        assert_eq!(server.connect("sslmode=require").await, Ok(true));
        let stranger = server.root(&Ca::new("stranger").pem);
        let outcome = server.connect(&format!("{stranger} sslmode=verify-full")).await;
        assert!(
            outcome
                .unwrap_err()
                .starts_with("the server's certificate is self-signed")
        );
        let root = server.root(&certificate);
        assert_eq!(server.connect(&format!("{root} sslmode=verify-full")).await, Ok(true));

        params.not_after = date_time_ymd(2001, 1, 1);
        let certificate = params.self_signed(&key).unwrap().pem();
        let server = serve(&(certificate.clone(), key.serialize_pem())).await;
        let root = server.root(&certificate);
        let outcome = server.connect(&format!("{root} sslmode=verify-full")).await;
        assert!(outcome.unwrap_err().starts_with("the server's certificate has expired"));
    }
}

#[tokio::test]
async fn without_tls_on_the_server_prefer_goes_plaintext_and_require_does_not() {
    let server = Server::start(None).await;
    assert_eq!(server.connect("").await, Ok(false));
    assert_eq!(server.connect("sslmode=prefer").await, Ok(false));
    let outcome = server.connect("sslmode=require").await;
    assert!(outcome.unwrap_err().starts_with("the server has no TLS"));
    let socket = format!("host={} port={}", server.sandbox.dir().display(), server.sandbox.port());
    assert_eq!(server.connect_to(&socket).await, Ok(false));
    assert_eq!(server.connect_to(&format!("{socket} sslmode=require")).await, Ok(false));
}

#[tokio::test]
async fn scram_binds_to_the_channel_where_the_certificate_allows_it() {
    let ca = Ca::new("ca");
    let server = serve(&ca.issue_for("localhost")).await;
    let root = server.root(&ca.pem);
    for tls in ["sslmode=require", &format!("{root} sslmode=verify-full")] {
        assert_eq!(
            server.connect(&format!("{tls} channel_binding=require")).await,
            Ok(true)
        );
        assert_eq!(
            server.connect(&format!("{tls} channel_binding=disable")).await,
            Ok(true)
        );
    }
    // Without TLS there is no channel to bind to: this is what require refuses.
    assert!(server.connect("sslmode=disable channel_binding=require").await.is_err());

    // An Ed25519 signature names no hash, so nobody can bind to such a certificate.
    let key = ed25519_key();
    let certificate = params_for("localhost").self_signed(&key).unwrap().pem();
    let server = serve(&(certificate, key.serialize_pem())).await;
    assert_eq!(server.connect("sslmode=require").await, Ok(true));
    assert!(server.connect("sslmode=require channel_binding=require").await.is_err());
}

/// A key in PKCS #8 version 1: OpenSSL does not read the version 2 that ring makes.
fn ed25519_key() -> KeyPair {
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    der.extend((0..32).map(|_| fastrand::u8(..)));
    KeyPair::try_from(der).unwrap()
}

/// A certificate of X.509 version 1, which rcgen does not make, and its key.
fn version_1() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let made = params_for("localhost").self_signed(&key).unwrap();
    let mut certificate = x509_cert::Certificate::from_der(made.der()).unwrap();
    certificate.tbs_certificate.version = x509_cert::Version::V1;
    certificate.tbs_certificate.extensions = None;
    let signed = key.sign(&certificate.tbs_certificate.to_der().unwrap()).unwrap();
    certificate.signature = BitString::from_bytes(&signed).unwrap();
    let pem = Pem::new("CERTIFICATE", certificate.to_der().unwrap());
    (pem::encode(&pem), key.serialize_pem())
}

#[tokio::test]
async fn a_version_1_certificate_does_for_require() {
    let pair = version_1();
    let server = serve(&pair).await;
    assert_eq!(
        server.connect("sslmode=require channel_binding=require").await,
        Ok(true)
    );
    let root = server.root(&pair.0);
    let outcome = server.connect(&format!("{root} sslmode=verify-ca")).await;
    assert!(
        outcome
            .unwrap_err()
            .starts_with("the server's certificate can't be verified")
    );
}

/// Shakes hands in memory, with a server that shows a certificate and signs with a key.
fn shake_hands(
    certificate: &str,
    key: &str,
    version: &'static rustls::SupportedProtocolVersion,
) -> Result<(), rustls::Error> {
    let provider = Arc::new(crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let certified = rustls::sign::CertifiedKey::new(chain, key);
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    let mut server = rustls::ServerConnection::new(Arc::new(config)).unwrap();
    let policy = TlsPolicy {
        mode: SslMode::Require,
        root: None,
    };
    let config = Arc::new(client_config(&policy).unwrap());
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = rustls::ClientConnection::new(config, name).unwrap();
    while client.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets()?;
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = &wire[..];
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(())
}

#[test]
fn a_server_without_the_key_of_its_certificate_is_refused_even_by_require() {
    let (certificate, key) = Ca::new("ca").issue_for("localhost");
    let (_, another) = Ca::new("ca").issue_for("localhost");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        assert_eq!(shake_hands(&certificate, &key, version), Ok(()));
        let bad = rustls::Error::InvalidCertificate(CertificateError::BadSignature);
        assert_eq!(shake_hands(&certificate, &another, version), Err(bad));
    }
}

#[tokio::test]
async fn prefer_does_not_turn_to_plaintext_when_the_handshake_fails() {
    use std::io::{Read, Write};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 8]).unwrap();
        stream.write_all(b"Snonsense").unwrap();
        drop(stream);
        listener.set_nonblocking(true).unwrap();
        listener
    });
    let text = format!("host=localhost hostaddr=127.0.0.1 port={port} sslmode=prefer user=u");
    let target = Target::from_string(&text).unwrap();
    let error = target
        .config
        .connect(connector(&target.tls).unwrap())
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("TLS handshake"), "{error:?}");
    let listener = server.join().unwrap();
    assert!(listener.accept().is_err(), "a second connection was made");
}

#[tokio::test]
async fn a_root_file_that_is_missing_or_holds_no_certificate_is_named() {
    let policy = |path: &Path| TlsPolicy {
        mode: SslMode::VerifyFull,
        root: Some(RootCert::File(path.to_owned())),
    };
    let message = |path: &Path| connector(&policy(path)).err().unwrap().to_string();
    let directory = std::env::temp_dir().join(format!("sessctl-roots-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("ca.crt");
    let shown = file.display();

    assert!(message(&file).starts_with(&format!("the root certificate {shown} can't be read: No such")));
    assert!(message(&directory).contains("can't be read"));
    let key = KeyPair::generate().unwrap().serialize_pem();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for content in ["", "<html>", &key, broken, "-----BEGIN CERTIFICATE-----\n"] {
        std::fs::write(&file, content).unwrap();
        let expected = format!("the root certificate {shown} holds no certificate");
        assert!(message(&file).starts_with(&expected), "{content}");
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn on_supabase_the_sentence_says_where_the_ca_is() {
    let error = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
    let error = io::Error::new(io::ErrorKind::InvalidData, error);
    let host = "aws-0-eu-central-1.pooler.supabase.com";
    assert!(
        explain(&error, host)
            .unwrap()
            .contains("in the dashboard, Database Settings")
    );
    assert!(!explain(&error, "h").unwrap().contains("dashboard"));
    assert_eq!(explain(&io::Error::other("something else"), host), None);
}
