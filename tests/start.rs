//! The first two commands of a newcomer, `make demo` and `make test`, on machines that lack something: one clear line each, and
//! nothing is installed before it. Programs of ours stand in for those that would change this machine.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::common::{Run, clean, sessctl};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What the Makefile and the scripts call besides, and each machine has.
const BASE: [&str; 24] = [
    "sh", "make", "sed", "grep", "sort", "tail", "head", "cat", "cp", "mv", "rm", "tee", "env", "id", "dirname",
    "echo", "true", "expr", "getconf", "expand", "ls", "mkdir", "uname", "tr",
];

/// A machine that has the programs of `BASE` and those that a test adds.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// With Rust, a C compiler and a user who is not root.
    fn new() -> Self {
        // The folder for temporary files may be mounted noexec.
        let machine = Self {
            folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
        };
        fs::create_dir(machine.bin()).unwrap();
        for name in BASE {
            let path = std::env::var("PATH").unwrap();
            let found = std::env::split_paths(&path)
                .map(|folder| folder.join(name))
                .find(|file| file.exists());
            symlink(found.unwrap(), machine.bin().join(name)).unwrap();
        }
        machine.has("rustc", "echo 'rustc 1.92.0 (0000000 2025-12-11)'");
        machine.has("cargo", "echo \"cargo $*\"");
        machine.has("cc", "exit 0");
        machine.lacks("id").has("id", "echo 1000");
        machine
    }

    fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// Adds a program; its calls are written down.
    fn has(&self, name: &str, text: &str) -> &Self {
        let log = self.folder.path().join("log");
        let text = format!("#!/bin/sh\necho \"{name} $*\" >> '{}'\n{text}\n", log.display());
        let file = self.bin().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(file, PermissionsExt::from_mode(0o755)).unwrap();
        self
    }

    fn lacks(&self, name: &str) -> &Self {
        fs::remove_file(self.bin().join(name)).unwrap();
        self
    }

    /// A PostgreSQL of a version, where Debian puts it.
    fn has_server(&self, major: u32) -> PathBuf {
        let folder = self.folder.path().join(format!("servers/{major}/bin"));
        fs::create_dir_all(&folder).unwrap();
        for name in ["initdb", "postgres"] {
            let file = folder.join(name);
            fs::write(
                &file,
                format!("#!/bin/sh\necho '{name} ({}) {major}.3'\n", "PostgreSQL"),
            )
            .unwrap();
            fs::set_permissions(file, PermissionsExt::from_mode(0o755)).unwrap();
        }
        folder
    }

    fn make(&self, target: &str) -> Run {
        let mut command = clean("/usr/bin/env");
        // The make that runs these tests tells its own of itself.
        for name in ["MAKEFLAGS", "MAKELEVEL", "MFLAGS", "CARGO"] {
            command.env_remove(name);
        }
        command
            .args(["make", "--silent", "-C", ROOT, target])
            .env_remove("SESSCTL_PG_BINDIR")
            .env("SESSCTL_TEST_SERVERS", self.folder.path().join("servers"))
            .env("PATH", self.bin());
        Run::of(&mut command)
    }

    /// The calls of the programs that were added.
    fn calls(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// The lines of standard error that make did not write.
fn lines(run: &Run) -> Vec<&str> {
    run.stderr.lines().filter(|line| !line.starts_with("make")).collect()
}

#[test]
fn without_rust_or_with_an_old_one_nothing_is_installed() {
    for target in ["demo", "test"] {
        let machine = Machine::new();
        machine.has("apt-get", "exit 0").has("sudo", "\"$@\"").lacks("cargo");
        let run = machine.make(target).exits(2);
        assert_eq!(lines(&run).len(), 1, "{run:?}");
        let run = run.says("sessctl is built with Rust 1.92 or newer; found no cargo.");
        assert!(!machine.calls().contains("apt-get"), "{run:?}");

        let machine = Machine::new();
        machine.has("apt-get", "exit 0").has("sudo", "\"$@\"");
        machine.has("rustc", "echo 'rustc 1.65.0 (897e37553 2022-11-02)'");
        machine
            .make(target)
            .exits(2)
            .says("sessctl is built with Rust 1.92 or newer; found 1.65.");
        assert!(!machine.calls().contains("apt-get"));
    }
}

#[test]
fn without_a_c_compiler_that_is_said_first() {
    let machine = Machine::new();
    machine.has("apt-get", "exit 0").lacks("cc");
    let run = machine.make("demo").exits(2).says("a C compiler too; found none");
    assert_eq!(lines(&run).len(), 1, "{run:?}");
}

#[test]
fn with_a_server_nothing_is_installed_and_the_first_build_shows_its_progress() {
    let machine = Machine::new();
    machine.has_server(15);
    machine.has("apt-get", "exit 0").has("sudo", "\"$@\"");
    let run = machine.make("demo").ok();
    assert!(run.stdout.contains("cargo build --locked\n"), "{run:?}");
    let run = machine.make("test").ok();
    assert!(run.stdout.contains("cargo test --locked"), "{run:?}");
    assert!(!machine.calls().contains("apt-get"), "{}", machine.calls());
}

/// A package manager that installs PostgreSQL where Debian does.
fn apt_get(machine: &Machine, update: &str) {
    let servers = machine.folder.path().join("servers/15/bin");
    let from = machine.has_server(99);
    let text = format!(
        "case \"$*\" in update*) {update} ;; *' postgresql') mkdir -p '{servers}'; cp '{from}/initdb' '{from}/postgres' '{servers}' ;; esac",
        servers = servers.display(),
        from = from.display(),
    );
    machine.has("apt-get", &text);
    fs::rename(from.parent().unwrap(), machine.folder.path().join("99")).unwrap();
    let from = machine.folder.path().join("99/bin");
    let text = fs::read_to_string(machine.bin().join("apt-get")).unwrap();
    let before = machine.folder.path().join("servers/99/bin").display().to_string();
    fs::write(
        machine.bin().join("apt-get"),
        text.replace(&before, &from.display().to_string()),
    )
    .unwrap();
}

#[test]
fn a_broken_source_of_packages_stops_nothing_else_and_no_cluster_is_made() {
    let machine = Machine::new();
    apt_get(&machine, "echo 'E: The repository has no Release file.' >&2; exit 100");
    // What would be written into /etc is written down.
    machine.has("sudo", "case \"$1\" in cp | mv) ;; tee) cat ;; *) \"$@\" ;; esac");
    machine.make("demo").ok().says("apt-get update failed; going on");
    let calls = machine.calls();
    let place = |call: &str| calls.find(call).unwrap_or_else(|| panic!("no {call} in {calls}"));
    let conf = "/etc/postgresql-common/createcluster.conf";
    let order = [
        place("apt-get install -q -y --no-install-recommends postgresql-common"),
        place(&format!("sudo tee -a {conf}")),
        place("apt-get install -q -y --no-install-recommends postgresql\n"),
        place(&format!("sudo mv {conf}.before-sessctl {conf}")),
    ];
    assert!(order.is_sorted(), "{calls}");
}

#[test]
fn without_the_right_to_install_there_is_a_line_that_says_what_to_ask_for() {
    let other_ways = "Or name the folder of the binaries of PostgreSQL 15 or newer in SESSCTL_PG_BINDIR.";
    let machine = Machine::new();
    apt_get(&machine, "exit 0");
    machine
        .make("demo")
        .exits(2)
        .says("there is no sudo. Ask an administrator for: apt-get install postgresql. Or")
        .says(other_ways);
    machine.has("sudo", "echo 'sudo: a password is required' >&2; exit 1");
    machine
        .make("demo")
        .exits(2)
        .says("who may not use sudo. Ask an administrator for: apt-get install postgresql. Or")
        .says(other_ways);
    assert!(!machine.calls().contains("apt-get install"), "{}", machine.calls());
}

#[test]
fn where_the_packages_can_not_be_fetched_the_last_line_says_what_else_helps() {
    let machine = Machine::new();
    machine.has("sudo", "\"$@\"");
    machine.has(
        "apt-get",
        "case $1 in --version) ;; *) echo 'E: Temporary failure resolving' >&2; exit 100 ;; esac",
    );
    let run = machine.make("demo").exits(2);
    let last = *lines(&run).last().unwrap();
    assert!(
        last.starts_with("PostgreSQL is missing. Its installation failed;") && last.contains("SESSCTL_PG_BINDIR"),
        "{run:?}"
    );
}

#[test]
fn without_apt_the_line_names_the_command_of_the_system() {
    for (manager, advice) in [
        ("brew", "brew install postgresql@17"),
        ("dnf", "sudo dnf install postgresql-server"),
        ("pacman", "sudo pacman -S postgresql"),
        ("true", "Install its server."),
    ] {
        let machine = Machine::new();
        let _ = fs::remove_file(machine.bin().join(manager));
        machine.has(manager, "exit 9");
        let run = machine.make("test").exits(2).says(advice).says("SESSCTL_PG_BINDIR");
        assert_eq!(lines(&run).len(), 1, "{run:?}");
    }
}

#[test]
fn a_server_that_is_too_old_for_the_sandbox_is_no_server() {
    let machine = Machine::new();
    let folder = machine.has_server(14);
    let too_old = "PostgreSQL 14 is too old for the sandbox, which needs 15 or newer.";
    machine.has("dnf", "exit 9");
    machine.make("demo").exits(2).says(too_old);
    // The program itself says it too.
    let refusal = format!("PostgreSQL 14 in {} is too old for a sandbox", folder.display());
    Run::of(
        sessctl()
            .args(["sandbox", "--", "true"])
            .env("SESSCTL_PG_BINDIR", &folder),
    )
    .exits(2)
    .says(&refusal)
    .says("SESSCTL_PG_BINDIR");
    // A newer one elsewhere is taken instead.
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    Run::of(sessctl().args(["sandbox", "--", "true"]).env("PATH", path)).ok();
}

#[test]
fn the_test_tools_are_installed_by_their_own_target_alone() {
    let makefile = fs::read_to_string(Path::new(ROOT).join("Makefile")).unwrap();
    let calls = makefile.lines().filter(|line| line.contains("--test-tools"));
    assert_eq!(calls.count(), 1);
    for target in ["demo", "test"] {
        let line = makefile
            .lines()
            .find(|line| line.starts_with(&format!("{target}:")))
            .unwrap();
        let needs = line.split_once(':').unwrap().1.split("##").next().unwrap();
        assert_eq!(needs.trim(), "tools server");
    }
}
