//! The action for GitHub: its scripts outside a runner, with the runner's variables, against a server of releases on this machine.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use sessctl::sandbox::Grants;

use crate::common::{Db, Run, clean};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("CARGO_PKG_VERSION");
const REPOSITORY: &str = "acme/sessctl";

/// A folder's files over HTTP, and what was asked for.
struct Releases {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Releases {
    fn of(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (folder, log) = (folder.to_owned(), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 1024];
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut buffer).unwrap() {
                        0 => break,
                        length => request.extend_from_slice(&buffer[..length]),
                    }
                }
                let request = String::from_utf8(request).unwrap();
                let path = request.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
                let (status, body) = match fs::read(folder.join(&path)) {
                    Ok(body) => ("200 OK", body),
                    Err(_) => ("404 Not Found", Vec::new()),
                };
                log.lock().unwrap().push(path);
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                )
                .unwrap();
                stream.write_all(&body).unwrap();
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A runner, with a release of this version and with tools of ours before its own.
struct Runner {
    folder: tempfile::TempDir,
    releases: Releases,
}

impl Runner {
    fn new() -> Self {
        // The folder for temporary files may be mounted noexec.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for name in ["temp", "tools", "site"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let runner = Self {
            releases: Releases::of(&folder.path().join("site")),
            folder,
        };
        // What is called without being asked for would change this machine.
        runner.tool("cargo", "echo 'cargo is not to be called' >&2; exit 9");
        runner.tool("gh", "exit 1");
        let target = runner.target();
        let name = format!("sessctl-v{VERSION}-{target}");
        let release = runner.release();
        fs::create_dir_all(release.join(&name)).unwrap();
        script(&release.join(&name).join("sessctl"), &program());
        let archive = format!("{name}.tar.gz");
        let make = format!("tar -czf {archive} {name} && sha256sum {archive} > SHA256SUMS");
        Run::of(Command::new("sh").args(["-ec", &make]).current_dir(&release)).ok();
        runner
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn release(&self) -> PathBuf {
        self.path("site")
            .join(REPOSITORY)
            .join("releases/download")
            .join(format!("v{VERSION}"))
    }

    /// The target that the action takes on this machine.
    fn target(&self) -> String {
        let key = self.install("v0", &["--key"]).ok().stdout;
        let prefix = format!("key=sessctl-{VERSION}-");
        let rest = key.strip_prefix(&prefix).unwrap();
        rest.rsplit_once('-').unwrap().0.to_owned()
    }

    fn tool(&self, name: &str, text: &str) {
        script(&self.path("tools").join(name), text);
    }

    fn install(&self, reference: &str, arguments: &[&str]) -> Run {
        let mut command = self.script("install");
        command.args(arguments).env("ACTION_REF", reference);
        Run::of(&mut command)
    }

    fn verify(&self, db: &Db, inputs: &[(&str, &str)]) -> Run {
        let mut command = self.script("verify");
        command.env("DATABASE_URL", db.url());
        for (name, value) in inputs {
            command.env(name, value);
        }
        Run::of(&mut command)
    }

    fn script(&self, name: &str) -> Command {
        let mut command = clean("bash");
        let path = format!("{}:{}", self.path("tools").display(), std::env::var("PATH").unwrap());
        command
            .arg(Path::new(ROOT).join(".github/actions/verify").join(name))
            .env("PATH", path)
            .env("RUNNER_TEMP", self.path("temp"))
            .env("GITHUB_SERVER_URL", &self.releases.url)
            .env("GITHUB_STEP_SUMMARY", self.path("summary"))
            .env("GITHUB_PATH", self.path("path"))
            .env("ACTION_REPOSITORY", REPOSITORY)
            .current_dir(self.folder.path());
        command
    }

    /// Whether the scripts have left a program that runs.
    fn has_program(&self) -> bool {
        let program = self.path("temp/sessctl/bin/sessctl");
        program.exists() && Run::of(clean(program.to_str().unwrap()).arg("--version")).code == 0
    }

    fn summary(&self) -> String {
        fs::read_to_string(self.path("summary")).unwrap()
    }
}

/// A program in place of a release's, which runs the one that is tested.
fn program() -> String {
    format!("exec '{}' \"$@\"", env!("CARGO_BIN_EXE_sessctl"))
}

fn script(file: &Path, text: &str) {
    fs::write(file, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(file, PermissionsExt::from_mode(0o755)).unwrap();
}

/// What stands in for cargo: `cargo install … --root FOLDER`.
fn cargo() -> String {
    format!(
        "echo \"cargo $*\"\nfor folder; do :; done\nmkdir -p \"$folder/bin\"\nln -s '{}' \"$folder/bin/sessctl\"",
        env!("CARGO_BIN_EXE_sessctl")
    )
}

#[test]
fn the_binary_of_its_own_version_is_taken_once_and_kept() {
    let runner = Runner::new();
    let run = runner
        .install(&format!("v{VERSION}"), &[])
        .ok()
        .says("from its release");
    assert!(run.stdout.contains(&format!("sessctl {VERSION}")), "{}", run.stdout);
    assert!(
        run.stdout.contains("::notice"),
        "no word of the missing gh: {}",
        run.stdout
    );
    assert!(runner.has_program());
    let on_path = fs::read_to_string(runner.path("path")).unwrap();
    assert_eq!(Path::new(on_path.trim()), runner.path("temp/sessctl/bin"));
    let asked = runner.releases.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    runner.install("v0", &[]).ok().says("from the cache");
    assert_eq!(runner.releases.asked(), asked);
}

#[test]
fn a_commit_is_as_good_as_a_version_and_a_branch_is_built() {
    let runner = Runner::new();
    runner
        .install("0123456789abcdef0123456789abcdef01234567", &[])
        .ok()
        .says("from its release");

    let runner = Runner::new();
    runner.tool("cargo", &cargo());
    let run = runner.install("main", &[]).ok().says("built by cargo");
    let expected = format!("cargo install --locked --path {ROOT} --root ");
    assert!(run.stdout.contains(&expected), "{}", run.stdout);
    assert!(runner.has_program() && runner.releases.asked().is_empty());
}

#[test]
fn where_no_binary_is_to_be_had_cargo_builds_it() {
    let runner = Runner::new();
    fs::remove_dir_all(runner.release()).unwrap();
    runner.tool("cargo", &cargo());
    runner.install("v0", &[]).ok().says("built by cargo");
    assert!(runner.has_program());
}

#[test]
fn a_binary_with_another_checksum_or_without_one_is_refused_and_nothing_is_built() {
    for sums in [
        "",
        "0000000000000000000000000000000000000000000000000000000000000000  NAME\n",
    ] {
        let runner = Runner::new();
        let name = format!("sessctl-v{VERSION}-{}.tar.gz", runner.target());
        fs::write(runner.release().join("SHA256SUMS"), sums.replace("NAME", &name)).unwrap();
        let run = runner.install("v0", &[]).exits(3);
        assert!(
            run.stdout.contains("::error") && run.stdout.contains("SHA256SUMS"),
            "{run:?}"
        );
        assert!(!run.stderr.contains("cargo") && !runner.has_program());
    }
}

#[test]
fn a_binary_without_the_statement_of_where_it_was_built_is_refused() {
    let runner = Runner::new();
    // gh knows such statements, and finds none for this file.
    runner.tool(
        "gh",
        "echo \"gh $*\"; case \"$*\" in *--help*) exit 0 ;; *) exit 1 ;; esac",
    );
    let run = runner.install("v0", &[]).exits(3).says("::error");
    assert!(
        run.stdout.contains("--repo acme/sessctl") && !runner.has_program(),
        "{run:?}"
    );

    runner.tool("gh", "echo \"gh $*\"");
    let run = runner.install("v0", &[]).ok().says("from its release");
    assert!(!run.stdout.contains("is not checked"), "{run:?}");
}

#[test]
fn the_place_of_the_action_says_whose_it_is_where_the_runner_does_not() {
    let runner = Runner::new();
    let action = runner.path("_actions").join(REPOSITORY).join("v0");
    fs::create_dir_all(action.join(".github/actions/verify")).unwrap();
    for file in ["Cargo.toml", ".github/actions/verify/install"] {
        fs::copy(Path::new(ROOT).join(file), action.join(file)).unwrap();
    }
    let mut command = runner.script("unused");
    command.env("ACTION_REPOSITORY", "").env("ACTION_REF", "");
    let mut elsewhere = clean("bash");
    elsewhere.arg(action.join(".github/actions/verify/install"));
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            elsewhere.env(name, value);
        }
    }
    Run::of(&mut elsewhere).ok().says("from its release");
}

#[test]
fn the_inputs_reach_the_program_and_what_it_says_is_in_the_summary() {
    let db = Db::migrated(Grants::Closed);
    db.client()
        .batch_execute("alter table public.user_sessions add column team text")
        .unwrap();
    let runner = Runner::new();
    runner.install("v0", &[]).ok();

    runner.verify(&db, &[]).ok();
    assert!(
        runner.summary().starts_with("### sessctl verify\n\n```\n"),
        "{}",
        runner.summary()
    );
    runner.verify(&db, &[("STRICT", "true")]).exits(1).says("::error");
    runner
        .verify(&db, &[("STRICT", "true"), ("ARGUMENTS", "--allow=column:team\n\n")])
        .ok();
    fs::write(runner.path("own.toml"), "[verify]\nstrict = true\n").unwrap();
    runner.verify(&db, &[("CONFIG", "own.toml")]).exits(1);
    runner.verify(&db, &[("CONFIG", "own.toml"), ("STRICT", "false")]).ok();
    runner
        .verify(&db, &[("STRICT", "yes")])
        .exits(2)
        .says("strict is true or false");
    runner.verify(&db, &[("FAIL_ON", "drift")]).exits(2).says("fail-on is");
}

#[test]
fn doctor_decides_too_where_a_level_is_given() {
    let db = Db::migrated(Grants::Closed);
    let runner = Runner::new();
    runner.install("v0", &[]).ok();
    runner.verify(&db, &[]).ok();
    assert!(!runner.summary().contains("### sessctl doctor"));
    runner.verify(&db, &[("FAIL_ON", "warning")]).ok();
    // Each deletion reads all of such a table, which is a warning.
    db.client()
        .batch_execute(
            "create table public.child (session uuid references public.user_sessions (id) on delete cascade)",
        )
        .unwrap();
    runner.verify(&db, &[("FAIL_ON", "problem")]).ok();
    runner.verify(&db, &[("FAIL_ON", "warning")]).exits(1);
    assert!(
        runner.summary().contains("### sessctl doctor\n\n```\n"),
        "{}",
        runner.summary()
    );
    db.client()
        .batch_execute("alter table public.user_sessions drop column device_info")
        .unwrap();
    runner.verify(&db, &[("FAIL_ON", "problem")]).exits(1);
}

#[test]
fn the_summary_is_one_block_whatever_the_names() {
    let db = Db::migrated(Grants::Closed);
    db.client()
        .batch_execute(
            "create policy \"x\n```\n# owned\" on public.user_sessions for select to anon using (true);
             create policy \"``` <img src=x>\" on public.user_sessions for select to anon using (true)",
        )
        .unwrap();
    let runner = Runner::new();
    runner.install("v0", &[]).ok();
    let run = runner.verify(&db, &[]).exits(1);
    assert_eq!(run.stdout.lines().filter(|line| line.starts_with("::error")).count(), 2);
    let summary = runner.summary();
    // A fence closes where at most three spaces stand in front of it.
    let fences = summary.lines().filter(|line| line.trim_start().starts_with("```"));
    assert_eq!(fences.collect::<Vec<_>>(), ["```", "```"], "{summary}");
    assert!(
        summary.contains("\\x0a# owned") && summary.trim_end().ends_with("```"),
        "{summary}"
    );
}
