//! The Debian package, installed, run and removed by dpkg in a root folder of its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use sessctl::sandbox::Grants;

use crate::common::{Db, Run, clean, not_run};
use crate::{VERSION, built, folder, shell, tree};

const CONFFILE: &str = "etc/sessctl.env";
const TIMER: &str = "usr/lib/systemd/system/sessctl@.timer";

/// A root folder in which dpkg knows of nothing else. The package's scripts run outside of it, and see it as DPKG_ROOT.
struct Root {
    folder: tempfile::TempDir,
}

impl Root {
    fn new() -> Self {
        let root = Self { folder: folder() };
        shell(
            root.path(),
            "mkdir -p var/lib/dpkg/updates var/lib/dpkg/info tmp && touch var/lib/dpkg/status",
        );
        root
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn dpkg(&self, action: &str, what: &str) {
        let mut command = clean("dpkg");
        command.arg(format!("--root={}", self.path().display()));
        command.args([
            "--force-script-chrootless",
            "--force-not-root",
            "--force-depends",
            action,
            what,
        ]);
        command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap()));
        Run::of(&mut command).ok();
    }

    /// What is there but for dpkg's own files.
    fn files(&self) -> Vec<String> {
        let mut files = tree(self.path());
        files.retain(|file| !file.starts_with("var/"));
        files
    }

    fn mode(&self, file: &str) -> u32 {
        fs::metadata(self.path().join(file)).unwrap().permissions().mode() & 0o7777
    }
}

fn package() -> Option<PathBuf> {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        not_run("the Debian package: there is no dpkg");
        return None;
    }
    Some(built(&format!("sessctl_{VERSION}_"), ".deb"))
}

#[test]
fn it_is_installed_run_removed_and_purged() {
    let Some(package) = package() else { return };
    let root = Root::new();
    root.dpkg("--install", package.to_str().unwrap());
    assert_eq!(
        root.files(),
        [
            CONFFILE,
            "usr/bin/sessctl",
            "usr/lib/systemd/system/sessctl@.service",
            TIMER,
            "usr/share/bash-completion/completions/sessctl",
            "usr/share/doc/sessctl/README.md",
            "usr/share/doc/sessctl/THIRD-PARTY-LICENSES.txt.gz",
            "usr/share/doc/sessctl/changelog.gz",
            "usr/share/doc/sessctl/copyright",
            "usr/share/fish/vendor_completions.d/sessctl.fish",
            "usr/share/man/man1/sessctl.1.gz",
            "usr/share/zsh/vendor-completions/_sessctl",
        ]
    );
    // It may hold a password.
    assert_eq!(root.mode(CONFFILE), 0o600);
    assert_eq!(root.mode("usr/bin/sessctl"), 0o755);

    let db = Db::fresh(Grants::Closed);
    let program = root.path().join("usr/bin/sessctl");
    let sessctl = |command: &str| {
        Run::of(
            clean(program.to_str().unwrap())
                .arg(command)
                .env("DATABASE_URL", db.url()),
        )
    };
    sessctl("verify").exits(1);
    sessctl("migrate").ok();
    sessctl("verify").ok();

    // A timer that somebody enabled, and their settings.
    let wants = root.path().join("etc/systemd/system/timers.target.wants");
    fs::create_dir_all(&wants).unwrap();
    symlink(format!("/{TIMER}"), wants.join("sessctl@cleanup.timer")).unwrap();
    fs::write(root.path().join(CONFFILE), "DATABASE_URL=postgresql://x\n").unwrap();
    root.dpkg("--install", package.to_str().unwrap());
    assert!(
        wants.join("sessctl@cleanup.timer").is_symlink(),
        "an upgrade has disabled a timer"
    );
    let kept = fs::read_to_string(root.path().join(CONFFILE)).unwrap();
    assert_eq!(
        (kept.as_str(), root.mode(CONFFILE)),
        ("DATABASE_URL=postgresql://x\n", 0o600)
    );

    root.dpkg("--remove", "sessctl");
    assert_eq!(root.files(), [CONFFILE]);
    root.dpkg("--purge", "sessctl");
    assert_eq!(root.files(), Vec::<String>::new());
}

#[test]
fn the_timers_are_disabled_and_their_commands_run_with_the_settings_of_the_file() {
    let Some(package) = package() else { return };
    let root = folder();
    shell(root.path(), &format!("dpkg-deb --extract '{}' .", package.display()));
    assert!(!tree(root.path()).iter().any(|file| file.contains(".wants/")));
    let scripts = shell(
        root.path(),
        &format!(
            "dpkg-deb --info '{0}' postinst; dpkg-deb --info '{0}' prerm",
            package.display()
        ),
    );
    assert!(
        !scripts.contains("enable") || !scripts.contains("systemctl enable"),
        "{scripts}"
    );

    let service = fs::read_to_string(root.path().join("usr/lib/systemd/system/sessctl@.service")).unwrap();
    let start = service
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/"))
        .unwrap();
    let (program, argument) = start.split_once(' ').unwrap();
    assert_eq!(argument, "%i");
    assert!(service.contains(&format!("EnvironmentFile=/{CONFFILE}\n")));

    // Each instance that the texts name is a command, and each setting is one that sessctl knows.
    let db = Db::migrated(Grants::Closed);
    let settings = fs::read_to_string(root.path().join(CONFFILE)).unwrap();
    let timer = fs::read_to_string(root.path().join(TIMER)).unwrap();
    let sessctl = |argument: &str| {
        let mut command = clean(root.path().join(program).to_str().unwrap());
        for line in settings.lines().filter_map(|line| line.strip_prefix('#')) {
            if let Some((name, value)) = line.split_once('=').filter(|(name, _)| !name.contains(' ')) {
                command.env(name, value);
            }
        }
        Run::of(command.env("DATABASE_URL", db.url()).arg(argument)).ok()
    };
    let texts = format!("{service}{timer}{settings}");
    let mut instances: Vec<&str> = texts
        .split("sessctl@")
        .skip(1)
        .map(|rest| {
            rest.split(|c: char| !(c.is_ascii_lowercase() || c == '-'))
                .next()
                .unwrap()
        })
        .collect();
    instances.sort_unstable();
    instances.dedup();
    assert_eq!(instances, ["anonymize", "cleanup", "end-inactive"]);
    for instance in instances {
        sessctl(instance);
    }
    let config = sessctl("config").stdout;
    for name in ["SESSCTL_END_INACTIVE_MINUTES", "SESSCTL_CLEANUP_DAYS"] {
        assert!(settings.contains(name) && config.contains(name), "{config}");
    }
}

#[test]
fn systemd_understands_the_units() {
    let Some(package) = package() else { return };
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return not_run("the units by systemd-analyze, which is not installed");
    }
    let root = folder();
    shell(root.path(), &format!("dpkg-deb --extract '{}' .", package.display()));
    // The program is where the unit will have it.
    let program = root.path().join("usr/bin/sessctl").display().to_string();
    shell(
        root.path(),
        &format!(
            "sed -i -e 's|/usr/bin/sessctl|{program}|' -e '/^Documentation/d' usr/lib/systemd/system/sessctl@.service"
        ),
    );
    let unit = |name: &str| root.path().join("usr/lib/systemd/system").join(name);
    let mut command = clean("systemd-analyze");
    command.args(["verify", "--man=no", "--recursive-errors=no"]);
    let run = Run::of(command.args([unit("sessctl@.service"), unit("sessctl@.timer")])).ok();
    assert_eq!(
        run.stderr.lines().filter(|line| line.contains("sessctl")).count(),
        0,
        "{}",
        run.stderr
    );
}

#[test]
fn the_manual_is_readable_and_the_package_has_its_facts() {
    let Some(package) = package() else { return };
    let root = folder();
    shell(root.path(), &format!("dpkg-deb --extract '{}' .", package.display()));
    let manual = shell(root.path(), "gzip -dc usr/share/man/man1/sessctl.1.gz");
    assert!(manual.contains(".TH sessctl 1"), "{manual}");
    let field = |name: &str| shell(root.path(), &format!("dpkg-deb --field '{}' {name}", package.display()));
    assert_eq!(field("Package"), "sessctl\n");
    assert_eq!(field("Version"), format!("{VERSION}\n"));
    // A static binary needs no other package.
    assert_eq!(field("Depends").trim().is_empty(), crate::target().ends_with("-musl"));
}
