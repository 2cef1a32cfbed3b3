//! The version of a release is the same in every place: `packaging/versions` compares them, and names each that differs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{Run, clean};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A copy of what the script reads.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut command = Command::new("cp");
    command.arg("-R").current_dir(ROOT);
    command.args(["Cargo.toml", "Cargo.lock", "CHANGELOG.md", "README.md", "Makefile"]);
    command.args(["docs", "migrations", "packaging", "scripts", ".github"]);
    Run::of(command.arg(folder.path())).ok();
    folder
}

fn versions(folder: &Path, arguments: &[&str]) -> Run {
    let script = folder.join("packaging/versions");
    let mut command = clean(script.to_str().unwrap());
    command.args(arguments).env("SOURCE_DATE_EPOCH", "0");
    Run::of(&mut command)
}

#[test]
fn every_place_has_the_version_of_cargo_toml() {
    let folder = copy();
    versions(folder.path(), &[])
        .ok()
        .says(&format!("version {VERSION} everywhere"));
}

#[test]
fn a_place_with_another_version_is_named() {
    let other = "9.9.9";
    for (file, from, to) in [
        (
            "Cargo.toml",
            format!("\nversion = \"{VERSION}\""),
            format!("\nversion = \"{other}\""),
        ),
        (
            "docs/install.md",
            format!("sessctl@{VERSION}"),
            format!("sessctl@{other}"),
        ),
        (
            "docs/install.md",
            format!("sessctl_{VERSION}"),
            format!("sessctl_{other}"),
        ),
        (
            "packaging/examples/compose.yaml",
            "@IMAGE@".into(),
            "sessctl:latest".into(),
        ),
        (
            "README.md",
            "# sessctl\n".into(),
            "# sessctl\n`uses: OWNER/sessctl`\n".into(),
        ),
        ("CHANGELOG.md", "## Unreleased".into(), "## Later".into()),
    ] {
        let folder = copy();
        let path = folder.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(&from), "{file} has no {from}");
        fs::write(&path, text.replacen(&from, &to, 1)).unwrap();
        let run = versions(folder.path(), &[]).exits(1);
        assert!(run.stderr.starts_with("error: "), "{file}: {run:?}");
    }
}

#[test]
fn a_tag_needs_an_owner_a_part_of_the_changelog_and_all_migrations() {
    let folder = copy();
    let path = |file: &str| folder.path().join(file);
    let replace = |file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(path(file)).unwrap();
        fs::write(path(file), text.replacen(from, to, 1)).unwrap();
    };
    replace("Cargo.toml", "github.com/acme/", "github.com/OWNER/");
    fs::write(path("migrations/released.txt"), "# None.\n").unwrap();
    let run = versions(folder.path(), &["--release"]).exits(1);
    for problem in [
        "has no owner yet",
        "has no part for",
        "migrations/V14__index_ended_at.sql is not in",
    ] {
        assert!(run.stderr.contains(problem), "{run:?}");
    }
    replace("Cargo.toml", "github.com/OWNER/", "github.com/acme/");
    replace(
        "CHANGELOG.md",
        "## Unreleased",
        &format!("## Unreleased\n\n## {VERSION} (2026-12-01)"),
    );
    let numbers = (1..100).map(|number| format!("{number} name 1\n"));
    fs::write(path("migrations/released.txt"), numbers.collect::<String>()).unwrap();
    versions(folder.path(), &["--release"]).ok();
}

#[test]
fn the_notes_are_the_changelog_s_part_and_the_ways_to_get_it() {
    let folder = copy();
    let changelog = folder.path().join("CHANGELOG.md");
    let text = format!(
        "# Changelog\n\n## Unreleased\n\n- later\n\n## {VERSION} (2026-12-01)\n\n- now\n\n## {VERSION}0\n\n- before\n"
    );
    fs::write(changelog, text).unwrap();
    let manifest = folder.path().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let line = text.lines().find(|line| line.starts_with("repository = ")).unwrap();
    fs::write(
        &manifest,
        text.replace(line, "repository = \"https://github.com/Acme/sessctl\""),
    )
    .unwrap();
    let script = folder.path().join("packaging/notes");
    let run = Run::of(clean(script.to_str().unwrap()).env("SOURCE_DATE_EPOCH", "0")).ok();
    assert!(run.stdout.starts_with("- now\n\n## Get it\n"), "{}", run.stdout);
    let run = run.says(&format!("Acme/sessctl/.github/actions/verify@v{VERSION}`"));
    run.says(&format!("`registry.example/acme/sessctl:{VERSION}`"));
}
