//! The npm packages, installed from their tarballs into an empty folder, without a registry.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sessctl::sandbox::Grants;

use crate::common::running::{signal, wait_for, wait_until};
use crate::common::{Db, Run, clean, not_run};
use crate::{VERSION, built, folder, shell};

/// The platform's name in npm.
fn platform() -> &'static str {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => "linux-x64",
        ("linux", "aarch64") => "linux-arm64",
        ("macos", "x86_64") => "darwin-x64",
        ("macos", "aarch64") => "darwin-arm64",
        other => panic!("releases have no binary for {other:?}"),
    }
}

struct Installed {
    folder: tempfile::TempDir,
}

impl Installed {
    fn new() -> Self {
        let installed = Self { folder: folder() };
        let packages =
            ["".to_owned(), format!("{}-", platform())].map(|name| built(&format!("sessctl-{name}{VERSION}"), ".tgz"));
        let mut npm = installed.command("npm");
        npm.args(["install", "--offline", "--no-audit", "--no-fund"])
            .args(packages);
        Run::of(&mut npm).ok();
        installed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command that knows no cache and no registry.
    fn command(&self, program: &str) -> Command {
        let mut command = clean(program);
        command
            .env("HOME", self.folder.path())
            .env("npm_config_cache", self.path("cache"))
            .env("npm_config_registry", "http://127.0.0.1:1")
            .env("npm_config_update_notifier", "false")
            .current_dir(self.folder.path());
        command
    }

    fn npx(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("npx");
        command.args(["--no-install", "sessctl"]).args(arguments);
        command
    }

    fn launcher(&self) -> String {
        self.path("node_modules/sessctl/bin/sessctl.js").display().to_string()
    }

    fn binary(&self) -> PathBuf {
        self.path(&format!("node_modules/@sessctl/{}/bin/sessctl", platform()))
    }

    /// Node with the launcher, after a statement.
    fn node(&self, statement: &str) -> Command {
        let mut command = self.command("node");
        let script = format!("{statement}; require('{}')", self.launcher());
        // In the place of the script's name.
        command.args(["-e", &script, "--", "sessctl"]);
        command
    }

    /// Puts a script in the binary's place.
    fn replace(&self, script: &str) {
        fs::remove_file(self.binary()).unwrap();
        fs::write(self.binary(), script).unwrap();
        fs::set_permissions(self.binary(), PermissionsExt::from_mode(0o755)).unwrap();
    }
}

/// How the launcher runs the binary: as a process of its own, as on older Node, or in its own place.
fn ways() -> Vec<&'static str> {
    let node = Command::new("node")
        .args(["-p", "typeof process.execve"])
        .output()
        .unwrap();
    let mut ways = vec!["process.execve = undefined"];
    if node.stdout.starts_with(b"function") {
        ways.push("");
    } else {
        not_run("the launcher on Node 22.15 or newer, which can become the binary");
    }
    ways
}

#[test]
fn it_runs_from_an_empty_folder_and_gives_its_exit_codes() {
    let installed = Installed::new();
    assert_eq!(
        Run::of(&mut installed.npx(&["--version"])).ok().stdout,
        format!("sessctl {VERSION}\n")
    );
    let db = Db::fresh(Grants::Closed);
    let verify = || Run::of(installed.npx(&["verify"]).env("DATABASE_URL", db.url()));
    verify().exits(1).says("pending");
    Run::of(installed.npx(&["migrate"]).env("DATABASE_URL", db.url())).ok();
    verify().ok();
    Run::of(&mut installed.npx(&["verify", "--no-such-flag"])).exits(2);
}

#[test]
fn no_package_has_a_script_and_all_have_the_licenses() {
    let installed = Installed::new();
    for folder in [
        "node_modules/sessctl".to_owned(),
        format!("node_modules/@sessctl/{}", platform()),
    ] {
        let text = fs::read_to_string(installed.path(&folder).join("package.json")).unwrap();
        let package: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(
            package.get("scripts").is_none() && package.get("dependencies").is_none(),
            "{text}"
        );
        assert_eq!(package["version"], VERSION);
        assert!(installed.path(&folder).join("LICENSE").is_file());
        if let Some(others) = package.get("optionalDependencies") {
            let others = others.as_object().unwrap();
            assert_eq!(others.len(), 4);
            assert!(others.values().all(|version| version == VERSION), "{text}");
        } else {
            assert!(installed.path(&folder).join("THIRD-PARTY-LICENSES.txt").is_file());
        }
    }
}

#[test]
fn arguments_and_all_three_streams_are_the_binary_s_own() {
    let installed = Installed::new();
    installed.replace("#!/bin/sh\nprintf '<%s>' \"$@\"\ncat\necho problem >&2\nexit 5\n");
    for way in ways() {
        let mut command = installed.node(way);
        command.args(["a b", "", "--flag=é'\"$x", "*"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"input").unwrap();
        let out = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        assert_eq!(text(out.stdout), "<a b><><--flag=é'\"$x><*>input");
        assert_eq!(text(out.stderr), "problem\n");
        assert_eq!(out.status.code(), Some(5));
    }
}

/// Writes down each signal that it gets. SIGTERM ends it.
const COUNTS: &str = r#"#!/usr/bin/env perl
sub note { open(my $log, '>>', 'log'); print $log "$_[0]\n"; close($log); }
for my $name ('INT', 'HUP', 'QUIT') { $SIG{$name} = sub { note($name) }; }
$SIG{TERM} = sub { note('TERM'); exit 7; };
note('ready');
my $end = time + 200;
sleep 1 while time < $end;
"#;

fn log(installed: &Installed) -> Vec<String> {
    let text = fs::read_to_string(installed.path("log")).unwrap_or_default();
    text.lines().map(ToOwned::to_owned).collect()
}

fn wait_for_log(installed: &Installed, expected: &[&str]) {
    wait_until(&format!("{expected:?} in the log"), || {
        log(installed).len() >= expected.len()
    });
    assert_eq!(log(installed), expected);
}

#[test]
fn a_signal_to_the_launcher_reaches_the_binary_once() {
    for way in ways() {
        let installed = Installed::new();
        installed.replace(COUNTS);
        let mut command = installed.node(way);
        // No terminal, as under a service or a workflow's runner.
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        wait_for_log(&installed, &["ready"]);
        for (name, log) in [
            ("-INT", &["ready", "INT"][..]),
            ("-HUP", &["ready", "INT", "HUP"]),
            ("-INT", &["ready", "INT", "HUP", "INT"]),
            ("-TERM", &["ready", "INT", "HUP", "INT", "TERM"]),
        ] {
            signal(name, child.id());
            wait_for_log(&installed, log);
        }
        assert_eq!(child.wait().unwrap().code(), Some(7), "{way}");
        wait_for_log(&installed, &["ready", "INT", "HUP", "INT", "TERM"]);
    }
}

#[test]
fn ctrl_c_on_a_terminal_reaches_the_binary_once() {
    if Command::new("script").arg("--version").output().is_err() {
        return not_run("Ctrl-C on a terminal: there is no program script");
    }
    for way in ways() {
        let installed = Installed::new();
        installed.replace(COUNTS);
        let node = format!(
            "echo $$ > pid; exec node -e \"{way}; require('{}')\" -- sessctl",
            installed.launcher()
        );
        fs::write(installed.path("start"), node).unwrap();
        let mut command = installed.command("script");
        // A session of its own with a terminal, and what is typed there.
        command.args(["--quiet", "--return", "--flush", "--command", "sh start", "typescript"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        wait_for_log(&installed, &["ready"]);
        let mut keys = child.stdin.take().unwrap();
        keys.write_all(b"\x03").unwrap();
        wait_for_log(&installed, &["ready", "INT"]);
        keys.write_all(b"\x03").unwrap();
        wait_for_log(&installed, &["ready", "INT", "INT"]);
        let pid = wait_for("the launcher's process", || {
            fs::read_to_string(installed.path("pid")).ok()
        });
        signal("-TERM", pid.trim().parse().unwrap());
        assert_eq!(child.wait().unwrap().code(), Some(7), "{way}");
        wait_for_log(&installed, &["ready", "INT", "INT", "TERM"]);
    }
}

#[test]
fn a_binary_that_a_signal_ended_ends_the_launcher_by_it() {
    let installed = Installed::new();
    installed.replace("#!/bin/sh\nkill -KILL $$\n");
    for way in ways() {
        let status = installed.node(way).stdin(Stdio::null()).status().unwrap();
        assert_eq!(status.signal(), Some(9), "{way}");
    }
}

#[test]
fn a_real_sandbox_ends_in_order_at_ctrl_c() {
    let installed = Installed::new();
    for way in ways() {
        let temporary = tempfile::tempdir().unwrap();
        fs::set_permissions(temporary.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = installed.node(way);
        command.arg("sandbox").env("TMPDIR", temporary.path());
        let out = temporary.path().join("out");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out).unwrap())
            .spawn()
            .unwrap();
        wait_until("the connection string", || {
            fs::read_to_string(&out).unwrap().contains("postgresql://")
        });
        signal("-INT", child.id());
        let code = child.wait().unwrap().code();
        assert!(code == Some(0) || code == Some(130), "{code:?}");
        wait_until("the end of the sandbox's folder", || {
            fs::read_dir(temporary.path()).unwrap().count() == 1
        });
    }
}

#[test]
fn a_platform_without_a_binary_and_a_missing_package_say_what_to_do() {
    let installed = Installed::new();
    let elsewhere = "Object.defineProperty(process, 'arch', { value: 's390x' })";
    let run = Run::of(&mut installed.node(elsewhere)).exits(3);
    let system = platform().split('-').next().unwrap();
    let says = format!(
        "error: npm has no sessctl for {system}-s390x, only for linux-x64, linux-arm64, darwin-x64, darwin-arm64\nhint: "
    );
    assert!(run.stderr.starts_with(&says) && run.stdout.is_empty(), "{run:?}");

    fs::remove_dir_all(installed.path("node_modules/@sessctl")).unwrap();
    let run = Run::of(&mut installed.npx(&["verify"])).exits(3);
    let says = format!("error: the package @sessctl/{} is missing", platform());
    assert!(
        run.stderr.starts_with(&says) && run.stderr.contains("--omit=optional"),
        "{run:?}"
    );
}

#[test]
fn a_binary_that_can_not_be_run_is_an_error_and_no_stack_trace() {
    let installed = Installed::new();
    fs::set_permissions(installed.binary(), PermissionsExt::from_mode(0o644)).unwrap();
    for way in ways() {
        let run = Run::of(&mut installed.node(way)).exits(3);
        let run = run.says("error: can't run ").says("hint: install sessctl again");
        assert!(!run.stderr.contains("    at "), "{run:?}");
    }
}

#[test]
fn the_tarballs_are_the_same_bytes_each_time() {
    let again = folder();
    let from = built(&format!("sessctl-v{VERSION}-"), ".tar.gz");
    shell(again.path(), &format!("cp '{}' .", from.display()));
    let pack = Path::new(crate::ROOT).join("packaging/npm/pack");
    let mut command = clean(pack.to_str().unwrap());
    Run::of(command.env("SESSCTL_DIST", again.path())).ok();
    for name in ["".to_owned(), format!("{}-", platform())] {
        let first = built(&format!("sessctl-{name}{VERSION}"), ".tgz");
        let second = again.path().join(first.file_name().unwrap());
        assert!(
            fs::read(&first).unwrap() == fs::read(second).unwrap(),
            "{}",
            first.display()
        );
    }
}
