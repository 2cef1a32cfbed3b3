//! The pings of end-inactive, anonymize and cleanup: what is sent, and that no answer changes a run.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use sessctl::sandbox::Grants;

use crate::common::ping_server::{Answer, PingServer};
use crate::common::running::Running;
use crate::common::{Db, Run, number, sessctl, sessctl_on};

const TOKEN: &str = "t0ken-of-the-check";

fn ok() -> PingServer {
    PingServer::start(vec![Answer::status("200 OK", "", "OK")])
}

/// A sweep with this URL.
fn sweep(db: &Db, url: &str, more: &[&str]) -> Command {
    let mut command = db.command(&["end-inactive"]);
    command.args(more).env("SESSCTL_PING_URL", url);
    command
}

/// One session that a sweep ends, and that none can where `is_stuck`.
fn one_due(is_stuck: bool) -> Db {
    let db = Db::migrated(Grants::Closed);
    db.client()
        .batch_execute(
            "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform, last_heartbeat_at)
             values ('00000000-0000-4000-8000-000000000001', 's', 'web', now() - interval '3 hours')",
        )
        .unwrap();
    if is_stuck {
        db.admin()
            .batch_execute("alter table public.user_sessions add constraint stays check (status = 'active') not valid")
            .unwrap();
    }
    db
}

fn ended(db: &Db) -> i64 {
    number(
        &mut db.client(),
        "select count(*) from public.user_sessions where status = 'timeout'",
    )
}

#[test]
fn a_run_pings_its_start_and_its_success_with_the_result() {
    let db = one_due(false);
    for (command, key) in [
        ("end-inactive", "ended"),
        ("anonymize", "anonymized"),
        ("cleanup", "deleted"),
    ] {
        let server = ok();
        let mut run = db.command(&[command, "--format", "json"]);
        run.env("SESSCTL_PING_URL", server.url() + "?create=1");
        let run = Run::of(&mut run).ok();
        let pings = server.pings();
        assert_eq!(
            server.lines(),
            [
                format!("POST /{TOKEN}/start?create=1"),
                format!("POST /{TOKEN}?create=1")
            ]
        );
        let result: Value = serde_json::from_str(&pings[1].body).unwrap();
        assert_eq!(result, run.json());
        assert!(result.get(key).is_some() && pings[0].body.is_empty());
        // Nothing else is told of this machine or of the database.
        let host = format!("host: 127.0.0.1:{}", server.port());
        let agent = concat!("user-agent: sessctl/", env!("CARGO_PKG_VERSION"));
        let length = format!("content-length: {}", pings[1].body.len());
        assert_eq!(
            pings[1].headers,
            [
                "connection: close",
                &length,
                "content-type: application/json",
                &host,
                agent
            ]
        );
        assert_eq!(
            pings[0].headers,
            ["connection: close", "content-length: 0", &host, agent]
        );
        assert!(!run.stderr.contains("ping"), "{}", run.stderr);
    }
    assert_eq!(ended(&db), 1);
}

#[test]
fn a_run_that_failed_pings_so_and_says_nothing_of_the_database() {
    let db = one_due(true);
    let server = ok();
    Run::of(&mut sweep(&db, &server.url(), &[])).exits(3);
    let pings = server.pings();
    assert_eq!(
        server.lines(),
        [format!("POST /{TOKEN}/start"), format!("POST /{TOKEN}/fail")]
    );
    assert_eq!(serde_json::from_str::<Value>(&pings[1].body).unwrap()["failed"], 1);
    // No server, no connection string, no schema.
    for url in [
        "postgresql://postgres:x@127.0.0.1:1/postgres",
        "",
        &Db::fresh(Grants::Closed).url(),
    ] {
        let server = ok();
        let mut command = sessctl_on(url, &["cleanup"]);
        let run = Run::of(command.env("SESSCTL_PING_URL", server.url()));
        assert!(run.code >= 2, "{}", run.stderr);
        assert_eq!(
            server.lines(),
            [format!("POST /{TOKEN}/start"), format!("POST /{TOKEN}/fail")]
        );
        assert_eq!(server.pings()[1].body, "");
    }
}

#[test]
fn a_dry_run_sends_no_ping() {
    let db = one_due(false);
    let server = ok();
    for command in ["end-inactive", "anonymize", "cleanup"] {
        db.sessctl(&[command, "--dry-run", "--ping", &server.url()]).ok();
    }
    assert!(server.pings().is_empty());
}

#[test]
fn plain_is_one_get_after_a_run_that_did_its_work() {
    for (is_stuck, code, lines) in [(false, 0, vec![format!("GET /{TOKEN}?status=up")]), (true, 3, vec![])] {
        let db = one_due(is_stuck);
        let server = ok();
        let url = server.url() + "?status=up";
        Run::of(&mut sweep(&db, &url, &["--ping-style", "plain"])).exits(code);
        assert_eq!(server.lines(), lines);
        assert!(server.pings().iter().all(|ping| ping.body.is_empty()));
    }
}

#[test]
fn the_url_is_of_the_flag_or_of_the_variable_that_the_file_names() {
    let db = Db::migrated(Grants::Closed);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessctl.toml");
    let servers = [(); 3].map(|()| ok());
    let [flag, named, default] = &servers;
    let run = |arguments: &[&str], has_named: bool| {
        let mut command = db.command(arguments);
        command
            .current_dir(folder.path())
            .env("SESSCTL_PING_URL", default.url());
        if has_named {
            command.env("SWEEP_CHECK", named.url());
        }
        Run::of(&mut command).ok()
    };
    let counts = || servers.each_ref().map(|server| server.pings().len());
    run(&["end-inactive"], true);
    assert_eq!(counts(), [0, 0, 2]);
    fs::write(&file, "[ping]\nend-inactive = \"SWEEP_CHECK\"\nstyle = \"plain\"\n").unwrap();
    run(&["end-inactive"], true);
    assert_eq!(counts(), [0, 1, 2]);
    // The other jobs have checks of their own.
    run(&["cleanup"], true);
    assert_eq!(counts(), [0, 1, 3]);
    run(
        &["end-inactive", "--ping", &flag.url(), "--ping-style", "healthchecks"],
        true,
    );
    assert_eq!(counts(), [2, 1, 3]);
    run(&["end-inactive", "--ping", ""], true);
    // Another job's URL would tell its check of this one.
    let unset = run(&["end-inactive"], false).says("no ping is sent: SWEEP_CHECK is not set");
    assert!(!unset.stderr.contains("warning"), "{}", unset.stderr);
    assert_eq!(counts(), [2, 1, 3]);
    for text in [
        format!("[ping]\ncleanup = \"https://hc.example/{TOKEN}\"\n"),
        format!("[ping]\nurl = \"https://hc.example/{TOKEN}\"\n"),
        "[ping]\nstyle = \"carrier\"\n".into(),
    ] {
        fs::write(&file, text).unwrap();
        let mut command = db.command(&["cleanup"]);
        let refused = Run::of(command.current_dir(folder.path())).exits(2);
        assert!(!refused.stderr.contains(TOKEN), "{}", refused.stderr);
    }
}

#[test]
fn what_is_no_url_is_a_warning_that_does_not_show_it() {
    let db = one_due(false);
    for url in [
        format!("hc.example/{TOKEN}"),
        format!("ftp://hc.example/{TOKEN}"),
        format!("https://{TOKEN}:x@hc.example/"),
    ] {
        let environment = Run::of(&mut sweep(&db, &url, &["--verbose"]))
            .ok()
            .says("no ping is sent: SESSCTL_PING_URL must be");
        let flag = db
            .sessctl(&["cleanup", "--verbose", "--ping", &url])
            .ok()
            .says("no ping is sent: --ping must be");
        for run in [environment, flag] {
            assert!(!(run.stdout + &run.stderr).contains(TOKEN));
        }
    }
    assert_eq!(ended(&db), 1);
    let url = format!("https://hc.example/{TOKEN}");
    for arguments in [
        ["--ping", &url, "--pin"],
        ["--ping", &url, "--ping-style=x"],
        [&url, "--ping", "x"],
    ] {
        let refused = Run::of(sessctl().arg("cleanup").args(arguments)).exits(2);
        assert!(!refused.stderr.contains(TOKEN), "{}", refused.stderr);
    }
}

/// Runs a sweep whose pings fail, and expects its work, its exit code and a warning for each ping that has these words.
#[track_caller]
fn warns(url: &str, words: &str) {
    let db = one_due(false);
    // What never comes takes five seconds for each of the two pings.
    let run = Running::start(sweep(&db, url, &["--verbose"])).end_within(Duration::from_secs(60));
    let run = run.ok().says(&format!("warning: the start ping failed: {words}"));
    let run = run.says(&format!("warning: the success ping failed: {words}"));
    assert!(run.stdout.starts_with("ended 1 session"), "{}", run.stdout);
    let all = run.stdout + &run.stderr;
    for part in [TOKEN, "http:", "https:", "hc.invalid"] {
        assert!(!all.contains(part), "{part}: {all}");
    }
    assert_eq!(ended(&db), 1);
    // Nobody who sees no output on success hears of it.
    let quiet = Run::of(&mut sweep(&db, &format!("http://127.0.0.1:1/{TOKEN}"), &["--quiet"])).ok();
    assert_eq!(quiet.stderr, "");
}

#[test]
fn an_answer_that_is_an_error_is_a_warning() {
    let server = PingServer::start(vec![Answer::status("500 Internal Server Error", "", TOKEN)]);
    warns(&server.url(), "the service answered 500");
    let server = PingServer::start(vec![Answer::status("404 Not Found", "", "not found")]);
    warns(&server.url(), "the service answered 404");
    // Each is sent once.
    assert_eq!(server.pings().len(), 2);
}

#[test]
fn an_answer_that_nothing_was_counted_is_a_warning() {
    let server = PingServer::start(vec![Answer::status("200 OK", "", "OK (not found)")]);
    warns(&server.url(), "the service answered 200, but did not count it");
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = ok();
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"] {
        for location in [elsewhere.url(), format!("/{TOKEN}/elsewhere")] {
            let server = PingServer::start(vec![Answer::status(status, &format!("location: {location}\r\n"), "")]);
            warns(
                &server.url(),
                &format!("the service answered {}, a redirect", &status[..3]),
            );
            assert_eq!(server.pings().len(), 2);
        }
    }
    assert!(elsewhere.pings().is_empty());
}

#[test]
fn a_service_that_is_not_there_is_a_warning() {
    let port = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    warns(&format!("http://127.0.0.1:{port}/{TOKEN}"), "connection refused");
    warns(&format!("https://127.0.0.1:{port}/{TOKEN}"), "connection refused");
    warns(
        &format!("https://hc.invalid/{TOKEN}"),
        "the name of its host can't be resolved",
    );
}

#[test]
fn an_answer_that_is_no_http_is_a_warning() {
    for bytes in [
        format!("{TOKEN}\r\n\r\n"),
        "\u{1b}[2J\0\n".into(),
        String::new(),
        "HTTP/1.1 200".into(),
    ] {
        let server = PingServer::start(vec![Answer::Bytes(bytes)]);
        warns(&server.url(), "");
        assert_eq!(server.pings().len(), 2);
    }
    // A server without TLS.
    let server = ok();
    warns(&server.url().replace("http:", "https:"), "unexpected end of file");
    let http = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let server = PingServer::start(vec![Answer::Bytes(http.into())]);
    warns(&server.url(), "the service answered 400");
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let head = "HTTP/1.1 200 OK\r\n".to_owned();
    let server = PingServer::start(vec![Answer::Endless(head.clone(), "x: y\r\n".into())]);
    warns(&server.url(), "");
    // The head says what matters.
    let server = PingServer::start(vec![Answer::Endless(head + "\r\n", "x".repeat(1_000))]);
    let db = one_due(false);
    let run = Run::of(&mut sweep(&db, &server.url(), &[])).ok();
    assert!(!run.stderr.contains("ping"), "{}", run.stderr);
}

#[test]
fn an_answer_that_never_comes_is_waited_for_five_seconds() {
    let server = PingServer::start(vec![Answer::Held]);
    warns(&server.url(), "no answer within 5 s");
    assert_eq!(server.pings().len(), 2);
}

#[test]
fn a_late_answer_is_an_answer() {
    let db = one_due(false);
    let server = PingServer::start(vec![Answer::Held]);
    let run = Running::start(sweep(&db, &server.url(), &[]));
    server.wait_for(1);
    assert_eq!(ended(&db), 0, "the run begins after its start is told");
    server.release();
    let run = run.end().ok();
    assert!(!run.stderr.contains("ping"), "{}", run.stderr);
    assert_eq!((server.pings().len(), ended(&db)), (2, 1));
}

#[test]
fn a_signal_ends_a_ping_that_is_not_answered() {
    let held = || Answer::Held;
    let answered = Answer::status("200 OK", "", "OK");
    for signal in ["-TERM", "-INT"] {
        // While the start is told: nothing was done, and no other ping follows.
        let db = one_due(false);
        let server = PingServer::start(vec![held()]);
        let run = Running::start(sweep(&db, &server.url(), &[]));
        server.wait_for(1);
        run.signal(signal);
        let run = run.end_within(Duration::from_secs(60)).exits(130);
        assert!(!run.stderr.contains("no answer"), "{}", run.stderr);
        assert_eq!((ended(&db), server.pings().len()), (0, 1));
        // While the success is told: the work is done, and so says the exit code.
        let server = PingServer::start(vec![answered.clone(), held()]);
        let run = Running::start(sweep(&db, &server.url(), &[]));
        server.wait_for(2);
        run.signal(signal);
        let run = run.end_within(Duration::from_secs(60)).ok().says("ended 1 session");
        assert!(!run.stderr.contains("no answer"), "{}", run.stderr);
        assert_eq!(ended(&db), 1);
    }
}

/// A CA in a folder, and what a server with a certificate of it for these names needs.
fn tls(folder: &Path, names: &[&str]) -> ServerConfig {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(folder.join("ca.crt"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap();
    let certificate = certificate.signed_by(&key, &Issuer::from_params(&ca, &ca_key)).unwrap();
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap()
}

#[test]
fn https_verifies_the_certificate_and_the_name_with_the_system_s_cas_and_those_of_the_database() {
    let db = one_due(false);
    let folder = tempfile::tempdir().unwrap();
    let server = PingServer::with_tls(tls(folder.path(), &["localhost", "127.0.0.1"]));
    let ca = folder.path().join("ca.crt");
    let url = format!("https://localhost:{}/{TOKEN}", server.port());
    let unknown = Run::of(&mut sweep(&db, &url, &[])).ok();
    unknown.says("the start ping failed: its certificate is not of a CA that is trusted");
    assert!(server.pings().is_empty());
    for url in [url.clone(), url.replace("localhost", "127.0.0.1")] {
        let by_system = Run::of(sweep(&db, &url, &[]).env("SSL_CERT_FILE", &ca)).ok();
        assert!(!by_system.stderr.contains("ping"), "{}", by_system.stderr);
    }
    assert_eq!(server.pings().len(), 4);
    // The database of the tests has no TLS, so the run fails; its pings trust the CA that it names.
    let root = ["--sslmode", "verify-full", "--sslrootcert", ca.to_str().unwrap()];
    let mut command = sessctl();
    command
        .env("DATABASE_URL", db.url())
        .env("SESSCTL_PING_URL", &url)
        .arg("end-inactive")
        .args(root);
    let run = Run::of(&mut command).exits(3);
    assert!(!run.stderr.contains("ping"), "{}", run.stderr);
    assert_eq!(
        server.lines()[4..],
        [format!("POST /{TOKEN}/start"), format!("POST /{TOKEN}/fail")]
    );
    let server = PingServer::with_tls(tls(folder.path(), &["elsewhere.example"]));
    let url = format!("https://localhost:{}/{TOKEN}", server.port());
    let other = Run::of(sweep(&db, &url, &[]).env("SSL_CERT_FILE", &ca)).ok();
    let other = other.says("the start ping failed: its certificate is for another host name");
    assert!(!other.stderr.contains("elsewhere") && server.pings().is_empty());
}
