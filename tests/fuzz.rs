//! Arguments, environment, `.env` files, `sessctl.toml` and connection strings as no user writes them: the program never panics, never prints a
//! password, and never prints what steers a terminal.
//!
//! `make test` has a round of it with a fixed seed, `make fuzz ARGS='--seconds 600'` as many as fit with others.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::common::fake_server::FakeServer;
use crate::common::sessctl;

/// Cases of a round.
const ROUND: u32 = 150;

/// What no output may hold: the two halves of each password.
const MARKERS: [&str; 2] = ["s3cr3t", "M4rker"];

const COMMANDS: [&str; 10] = [
    "migrate",
    "end-inactive",
    "cleanup",
    "summary",
    "verify",
    "status",
    "doctor",
    "schedule list",
    "schedule install",
    "config",
];

const FLAGS: [&str; 22] = [
    "--sslmode",
    "--sslrootcert",
    "--connect-timeout",
    "--timeout",
    "--format",
    "--quiet",
    "--verbose",
    "--dry-run",
    "--target",
    "--lock-timeout",
    "--lock-wait",
    "--minutes",
    "--days",
    "--pause",
    "--max-runtime",
    "--max-retries",
    "--allow",
    "--config",
    "--platforms",
    "--yes",
    "--strict",
    "--help",
];

const VARIABLES: [&str; 17] = [
    "SESSCTL_CLEANUP_DAYS",
    "SESSCTL_CONFIG",
    "SESSCTL_VERIFY_ALLOW",
    "PGAPPNAME",
    "PGCONNECT_TIMEOUT",
    "PGDATABASE",
    "PGOPTIONS",
    "PGPORT",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGUSER",
    "TERM",
    "COLUMNS",
    "NO_COLOR",
    "LANG",
    "HOME",
    "RUST_LOG",
];

/// Where the connection string stands.
#[derive(Clone, Copy, Debug)]
enum Source {
    Flag,
    Environment,
    File,
}

#[derive(Clone, Debug)]
struct Case {
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    source: Source,
    connection: OsString,
    /// Lines of a `.env` file above the connection string and below it.
    lines: [Vec<u8>; 2],
    /// A file of settings.
    settings: Option<Vec<u8>>,
}

/// Bytes that an argument or a variable can have.
fn words() -> impl Strategy<Value = OsString> {
    let known = prop::sample::select(vec![
        "",
        "0",
        "-1",
        "1",
        "require",
        "verify-full",
        "system",
        "json",
        "csv",
        "github",
        "1s",
        "900us",
        "policy:x",
        "500000000000years",
        "99999999999999999999",
        "18446744073709551615s",
        "1e9",
        "\u{202e}",
        "\x1b[2J",
        "a\n::stop-commands::b",
        "%s%n",
        "/",
        "..",
        "--",
        "\u{feff}",
    ]);
    prop_oneof![
        3 => known.prop_map(OsString::from),
        2 => any::<String>().prop_map(OsString::from),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(OsString::from_vec),
    ]
    .prop_map(|word| OsString::from_vec(word.into_vec().into_iter().filter(|byte| *byte != 0).collect()))
}

/// A connection string with a password of ours, in which something may have been put that does not belong there.
fn connections(port: u16) -> impl Strategy<Value = OsString> {
    let between = prop::sample::select(vec![
        "", "@", "/", "#", "?", "%", "%zz", " ", "&a=", "'", "$HOME", "[", "\u{200b}", "é",
    ]);
    let form = prop::sample::select(vec![
        "postgres://user:PASSWORD@127.0.0.1:PORT/postgres",
        "postgresql://user:PASSWORD@127.0.0.1:PORT/postgres?sslmode=disable",
        "postgres://user:[PASSWORD]@127.0.0.1:PORT/postgres",
        "postgres://127.0.0.1:PORT/postgres?user=user&password=PASSWORD",
        "host=127.0.0.1 port=PORT user=user password=PASSWORD",
        "host=127.0.0.1 port=PORT user=user password='PASSWORD' dbname=postgres",
        "host=/nonexistent user=user password=PASSWORD",
    ]);
    let odd = prop::sample::select(vec![
        "\"", "'", " ", "\n", "\r", "\t", ":", "/", "?", "#", "&", "=", "%", "%00", "[", "]", "{", "\x1b", "\u{a0}",
        "\u{202e}",
    ]);
    (between, form, prop::option::of((odd, any::<prop::sample::Index>()))).prop_map(move |(between, form, odd)| {
        let password = format!("{}{between}{}", MARKERS[0], MARKERS[1]);
        let mut text = form.replace("PASSWORD", &password).replace("PORT", &port.to_string());
        if let Some((odd, at)) = odd {
            let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
            text.insert_str(*at.get(&places), odd);
        }
        text.into()
    })
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        prop::sample::select(vec![
            "",
            "# comment",
            "APP_NAME=My App",
            "MOTD=don't",
            "A=\"half",
            "B='half",
            "C=\"two\nlines\"",
            "export D=1",
            "=",
            "E=$A",
            "F=${B}",
            "\u{feff}",
            "G=\\",
            "export",
            "H=${",
            "DATABASE_URL_OLD=x y",
        ])
        .prop_map(|line| line.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..30),
    ];
    let end = prop::sample::select(vec!["\n", "\r\n", "\r"]);
    prop::collection::vec((line, end), 0..4).prop_map(|lines| {
        lines
            .into_iter()
            .flat_map(|(line, end)| [line, end.into()].concat())
            .collect()
    })
}

/// A file of settings, in which a connection string may be.
fn settings(port: u16) -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => prop::sample::select(vec![
            "[table]\n", "[end-inactive]\n", "[cleanup]\n", "[verify]\n", "[", "]", "platforms = ", "end-reasons = ", "minutes = ",
            "days = ", "strict = true\n", "allow = ", "[\"web\", 'timeout']\n", "[\n'trigger:a',\n", "30\n", "= ", "\"", "'''", "\\", "# ",
            "\n", "\r\n", "\u{feff}", "\u{202e}", "\0", "a.b.c = 1\n", "[[x]]\n", "x = { y = 1, z = [2] }\n", "1979-05-27",
        ])
        .prop_map(|part| part.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..10),
        1 => any::<String>().prop_map(String::into_bytes),
        1 => connections(port).prop_map(OsString::into_vec),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

fn cases(port: u16) -> impl Strategy<Value = Case> {
    let command = prop::sample::select(COMMANDS.to_vec())
        .prop_map(|command| -> Vec<OsString> { command.split(' ').map(OsString::from).collect() });
    let flag = (
        prop::sample::select(FLAGS.to_vec()),
        prop::option::of(words()),
        any::<bool>(),
    )
        .prop_map(|(flag, value, joined)| -> Vec<OsString> {
            match value {
                Some(value) if joined => {
                    let mut text = OsString::from(format!("{flag}="));
                    text.push(value);
                    vec![text]
                }
                Some(value) => vec![flag.into(), value],
                None => vec![flag.into()],
            }
        });
    let stray = prop_oneof![words(), connections(port).prop_map(|url| url)].prop_map(|word| vec![word]);
    let arguments = prop_oneof![6 => flag, 1 => stray];
    let source = prop::sample::select(vec![Source::Flag, Source::Environment, Source::File, Source::File]);
    let variables = prop::collection::vec((prop::sample::select(VARIABLES.to_vec()), words()), 0..3);
    (
        command,
        prop::collection::vec(arguments, 0..3),
        variables,
        source,
        connections(port),
        [lines(), lines()],
        prop::option::of(settings(port)),
    )
        .prop_map(
            |(command, arguments, variables, source, connection, lines, settings)| Case {
                arguments: [command, arguments.concat()].concat(),
                variables,
                source,
                connection,
                lines,
                settings,
            },
        )
}

impl Case {
    fn command(&self, folder: &std::path::Path) -> Command {
        let mut command = sessctl();
        command.current_dir(folder).args(&self.arguments);
        // What a wait of a century would wait for.
        command.env("PGCONNECT_TIMEOUT", "1");
        command.env("PGPASSWORD", MARKERS.concat());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(text) = &self.settings {
            std::fs::write(folder.join("sessctl.toml"), text).unwrap();
        }
        match self.source {
            Source::Flag => {
                let mut flag = OsString::from("--database-url=");
                flag.push(&self.connection);
                command.arg(flag);
            }
            Source::Environment => {
                command.env("DATABASE_URL", &self.connection);
            }
            Source::File => {
                let [above, below] = &self.lines;
                let text = [above, &b"DATABASE_URL="[..], self.connection.as_bytes(), b"\n", below].concat();
                std::fs::write(folder.join(".env"), text).unwrap();
            }
        }
        command
    }

    fn run(&self) -> Result<(), TestCaseError> {
        let folder = tempfile::tempdir().unwrap();
        let mut child = self
            .command(folder.path())
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(folder.path().join("out")).unwrap())
            .stderr(std::fs::File::create(folder.path().join("err")).unwrap())
            .spawn()
            .unwrap();
        // Long waits are asked for too; a round does not have them.
        let deadline = Instant::now() + Duration::from_secs(3);
        let code = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status.code(),
                None if Instant::now() >= deadline => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break Some(0);
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let read = |name: &str| String::from_utf8(std::fs::read(folder.path().join(name)).unwrap());
        let (out, err) = (read("out"), read("err"));
        prop_assert!(out.is_ok() && err.is_ok(), "no UTF-8: {out:?} {err:?}");
        let output = out.unwrap() + &err.unwrap();
        prop_assert!(matches!(code, Some(0..=3)), "exit code {code:?}: {output}");
        prop_assert!(!output.contains("panicked"), "{output}");
        for marker in MARKERS {
            prop_assert!(!output.contains(marker), "a password is shown: {output}");
        }
        let steers = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{200b}\u{feff}".contains(c);
        prop_assert!(!output.contains(steers), "{output:?}");
        let command = output.lines().find(|line| line.starts_with("::"));
        prop_assert!(command.is_none(), "{output}");
        Ok(())
    }
}

fn round(seed: u64) {
    let server = FakeServer::refusing("28P01", "password authentication failed");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: ROUND,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let outcome = runner.run(&cases(server.port()), |case| case.run());
    if let Err(error) = outcome {
        panic!("seed {seed}: {error}");
    }
}

#[test]
fn no_input_makes_the_program_panic_or_show_a_password() {
    let seconds = std::env::var("SESSCTL_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let Some(seconds) = seconds else {
        return round(1);
    };
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let first = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let mut rounds = 0;
    while Instant::now() < deadline {
        round(first + rounds);
        rounds += 1;
    }
    eprintln!("{rounds} rounds of {ROUND} cases, seeds from {first}");
}
