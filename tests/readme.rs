//! The README and the pages of docs can't lie: the picture is what the demo prints, their blocks run, their links lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use postgres::{Client, NoTls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::Value;
use sessctl::sandbox::{Options, Sandbox};

use crate::common::readers::python;
use crate::common::{Run, block_on, clean, not_run, sessctl};
use crate::schedule::with_pg_cron;

const README: &str = include_str!("../README.md");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The README's fenced blocks, each with its language and its text.
fn blocks() -> Vec<(&'static str, &'static str)> {
    blocks_of(README)
}

fn blocks_of(page: &str) -> Vec<(&str, &str)> {
    let mut parts = page.split("```");
    parts.next();
    let fenced = parts.step_by(2);
    fenced.map(|block| block.split_once('\n').unwrap()).collect()
}

/// The pages of docs: their names and their texts.
fn pages() -> Vec<(String, String)> {
    let files = fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    let page = |path: PathBuf| (path.display().to_string(), fs::read_to_string(path).unwrap());
    files.map(|entry| page(entry.unwrap().path())).collect()
}

/// What does not change from run to run: each number, time or port is a #, and what is padded for it one space.
fn lasting(text: &str) -> String {
    let mut lasting = String::new();
    for character in text.chars() {
        match character {
            '0'..='9' if lasting.ends_with('#') => {}
            ' ' if lasting.ends_with(' ') => {}
            '0'..='9' => lasting.push('#'),
            other => lasting.push(other),
        }
    }
    lasting
}

#[test]
fn the_picture_is_what_the_demo_prints() {
    let program = env!("CARGO_BIN_EXE_sessctl");
    // Both streams in the order in which a terminal shows them.
    let script = format!("'{program}' demo --color always 2>&1");
    let run = Run::of(clean("sh").args(["-c", &script])).ok();
    let shown = run.stdout.split("\nFor your own database").next().unwrap();
    let picture = anstyle_svg::Term::new().render_svg(shown);
    let file = Path::new(ROOT).join(".github/terminal.svg");
    if std::env::var_os("SESSCTL_WRITE_PICTURE").is_some() {
        fs::write(&file, &picture).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap();
    assert!(
        lasting(&kept) == lasting(&picture),
        ".github/terminal.svg is stale: run make picture"
    );
    assert!(README.contains("](.github/terminal.svg)"));
}

/// A project with the schema, the demo's sessions, pg_cron where it is installed, and a certificate of a CA of ours.
struct Project {
    sandbox: Sandbox,
    has_pg_cron: bool,
    folder: tempfile::TempDir,
}

impl Project {
    fn start() -> Self {
        let cron = with_pg_cron();
        let has_pg_cron = cron.is_some();
        let sandbox = cron.unwrap_or_else(|| block_on(Sandbox::start(&Options::default())).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut certificate = CertificateParams::new(vec!["localhost".into()]).unwrap();
        certificate.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = certificate.self_signed(&key).unwrap().pem();
        let owner = fs::metadata(sandbox.dir()).unwrap();
        for (name, content) in [("server.crt", &pem), ("server.key", &key.serialize_pem())] {
            let file = sandbox.dir().join("data").join(name);
            fs::write(&file, content).unwrap();
            fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
            chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        fs::write(folder.path().join("prod-ca-2021.crt"), pem).unwrap();
        let project = Self {
            sandbox,
            has_pg_cron,
            folder,
        };
        for sql in ["alter system set ssl = on", "select pg_reload_conf()"] {
            project.admin().batch_execute(sql).unwrap();
        }
        project.anew();
        project
    }

    fn url(&self) -> String {
        self.url_as("postgres", self.sandbox.password())
    }

    fn url_as(&self, role: &str, password: &str) -> String {
        format!(
            "postgresql://{role}:{password}@localhost:{}/postgres",
            self.sandbox.port()
        )
    }

    fn admin(&self) -> Client {
        Client::connect(&self.sandbox.admin("postgres"), NoTls).unwrap()
    }

    /// Migrated, with the demo's sessions, whatever a block did.
    fn anew(&self) {
        let mut admin = self.admin();
        admin
            .batch_execute("drop table if exists public.user_sessions cascade; drop schema if exists sessctl cascade; truncate auth.users")
            .unwrap();
        Run::of(sessctl().env("DATABASE_URL", self.url()).arg("migrate")).ok();
        admin.batch_execute(include_str!("../src/sandbox/sample.sql")).unwrap();
    }

    /// Reads a file of settings.
    fn configure(&self, text: &str) {
        let file = self.folder.path().join("sessctl.toml");
        fs::write(&file, text).unwrap();
        self.shell("sessctl config");
        fs::remove_file(file).unwrap();
    }

    /// What a command of the program prints.
    fn run(&self, mut program: Command, arguments: &str) -> Run {
        Run::of(program.args(arguments.split(' ')).env("DATABASE_URL", self.url())).ok()
    }

    /// Runs a script as a user's shell does, in a folder of its own.
    fn shell(&self, script: &str) {
        let script = script.replace("postgresql://…", &self.url());
        let bin = Path::new(env!("CARGO_BIN_EXE_sessctl")).parent().unwrap();
        let tools = self.folder.path().join("bin");
        fs::create_dir_all(&tools).unwrap();
        // What the tests themselves are part of: that make has such a target is all that can be looked at here.
        for (name, text) in [
            ("make", format!("exec /usr/bin/make -n -C '{ROOT}' \"$@\"")),
            ("cargo", "true".into()),
            // What stores a part elsewhere.
            ("aws", "test -s \"$3\"".into()),
            ("gsutil", "test -s \"$2\"".into()),
            ("rclone", "test -s \"$2\"".into()),
            ("age", "cp \"$5\" \"$4\"".into()),
        ] {
            let file = tools.join(name);
            fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let path = format!(
            "{}:{}:{}",
            tools.display(),
            bin.display(),
            std::env::var("PATH").unwrap()
        );
        let run = Run::of(
            clean("bash")
                .args(["-euo", "pipefail", "-c", &script])
                .env("PATH", path)
                .env("HOME", self.folder.path())
                .env("DATABASE_URL", self.url())
                .current_dir(self.folder.path()),
        );
        assert_eq!(run.code, 0, "{script}\nstdout: {}\nstderr: {}", run.stdout, run.stderr);
    }
}

#[test]
fn every_command_block_runs() {
    let project = Project::start();
    let major = project
        .admin()
        .query_one("select current_setting('server_version_num')::int / 10000", &[])
        .unwrap();
    let major: i32 = major.get(0);
    for (language, text) in blocks() {
        project.anew();
        match language {
            "sh" if text.contains("cargo install") => {
                not_run("the README's cargo install: it builds what these tests have built")
            }
            "sh" if text.contains("schedule") && !project.has_pg_cron => {
                not_run("the README's schedule commands, without pg_cron")
            }
            "sh" => project.shell(text),
            "sql" => {
                let rows = || -> i64 {
                    let sql = "select count(*) from public.user_sessions";
                    project.admin().query_one(sql, &[]).unwrap().get(0)
                };
                let before = rows();
                let sql = text.replace("$1", "(select min(session_id) from public.user_sessions)");
                if sql.contains("bypassrls") && major < 16 {
                    project.admin().batch_execute(&sql).unwrap();
                } else {
                    Client::connect(&project.sandbox.url(), NoTls)
                        .unwrap()
                        .batch_execute(&sql)
                        .unwrap();
                }
                assert!(before > 0 && rows() >= before, "sessions are lost by {sql}");
            }
            "toml" => project.configure(text),
            "crontab" => {
                for line in text.lines() {
                    let command = line.splitn(6, ' ').nth(5).unwrap();
                    project.shell(command);
                }
            }
            "ini" => {
                let starts = text
                    .lines()
                    .filter_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/"));
                starts.for_each(|start| project.shell(start));
            }
            "yaml" => {
                for line in text.lines().map(str::trim) {
                    if let Some(arguments) = line.strip_prefix("args: ") {
                        let arguments: Vec<String> = serde_json::from_str(arguments).unwrap();
                        project.shell(&format!("sessctl {}", arguments.join(" ")));
                    }
                    match line.strip_prefix("- run: ") {
                        Some(install) if install.starts_with("cargo install") => {
                            not_run("the README's cargo install from afar")
                        }
                        Some(command) => project.shell(command),
                        None => {}
                    }
                    if let Some((_, action)) = line.split_once("uses: OWNER/sessctl/") {
                        let folder = action.split('@').next().unwrap();
                        assert!(Path::new(ROOT).join(folder).join("action.yml").is_file(), "{folder}");
                    }
                }
            }
            other => panic!("nobody runs a block in {other:?}: {text}"),
        }
    }
}

#[test]
fn every_block_of_the_docs_runs() {
    let project = Project::start();
    // The other page's blocks run in its own tests.
    let pages = pages()
        .into_iter()
        .filter(|(page, _)| !page.ends_with("large-tables.md"));
    for (page, text) in pages {
        for (language, text) in blocks_of(&text) {
            // The sessions are there again, and the files of the blocks before stay.
            project.anew();
            let first = text.lines().next().unwrap_or_default();
            let script = match (language, first) {
                ("sh", _) => {
                    project.shell(text);
                    continue;
                }
                ("toml", _) => {
                    project.configure(text);
                    continue;
                }
                // What a command prints: the first line of it, which is a table's header or the JSON.
                ("console", command) => {
                    let program = clean(env!("CARGO_BIN_EXE_sessctl"));
                    let run = project.run(program, command.strip_prefix("$ sessctl ").unwrap());
                    let line =
                        |text: &str| lasting(text.lines().next().unwrap().split("\"timeout_share").next().unwrap());
                    assert_eq!(line(text.split_once('\n').unwrap().1), line(&run.stdout), "{page}");
                    continue;
                }
                // What a terminal shows below it.
                ("text", _) => continue,
                ("sql", _) if text.contains("to ROLE") => {
                    project
                        .admin()
                        .batch_execute(&text.replace("ROLE", "service_role"))
                        .unwrap();
                    continue;
                }
                ("sql", "-- DuckDB") => format!("import duckdb; duckdb.connect().execute({})", python_text(text)),
                ("python", "# pyarrow") => text.to_owned(),
                ("sql", "-- Athena") | ("python", "# Spark") => {
                    not_run(&format!("a block of {page}: {first}"));
                    continue;
                }
                _ => panic!("nobody runs a block in {language:?} of {page}: {text}"),
            };
            if let Some(python) = python(&page) {
                let mut command = clean(python.to_str().unwrap());
                Run::of(command.args(["-c", &script]).current_dir(project.folder.path())).ok();
            } else if text.contains("'archive-new'") {
                // The next block moves it.
                fs::create_dir(project.folder.path().join("archive-new")).unwrap();
            }
        }
    }
}

/// A text as Python has it.
fn python_text(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

#[test]
fn the_statement_of_the_docs_removes_a_user_from_an_archive() {
    let Some(python) = python("the removal of a user from an archive") else {
        return;
    };
    let project = Project::start();
    project.shell("sessctl cleanup --archive archive");
    let count = |folder: &str| -> Vec<(String, i64)> {
        let script = format!(
            "import duckdb, json; print(json.dumps(duckdb.connect().execute(\"\"\"select user_id, count(*) from
             read_parquet('{folder}/*/*.parquet', hive_partitioning = true) group by 1 order by 2 desc, 1\"\"\").fetchall()))"
        );
        let mut command = clean(python.to_str().unwrap());
        let run = Run::of(command.args(["-c", &script]).current_dir(project.folder.path())).ok();
        serde_json::from_str(&run.stdout).unwrap()
    };
    let mut before = count("archive");
    let page = fs::read_to_string(Path::new(ROOT).join("docs/archive.md")).unwrap();
    let blocks = blocks_of(&page);
    let (_, statement) = blocks.iter().find(|(_, text)| text.contains("'archive-new'")).unwrap();
    let user = before[0].0.clone();
    let statement = statement.replace("00000000-0000-4000-8000-000000000001", &user);
    let script = format!("import duckdb; duckdb.connect().execute({})", python_text(&statement));
    let mut command = clean(python.to_str().unwrap());
    Run::of(command.args(["-c", &script]).current_dir(project.folder.path())).ok();
    before.remove(0);
    assert!(!before.is_empty());
    assert_eq!(count("archive-new"), before);
}

#[test]
fn a_role_that_may_only_maintain_or_verify_can_do_just_that() {
    let project = Project::start();
    let roles = blocks().into_iter().filter(|(_, text)| text.contains("create role"));
    for (_, sql) in roles {
        project.admin().batch_execute(&sql.replace('…', "postgres")).unwrap();
    }
    let as_role = |role: &str, arguments: &[&str]| {
        let url = project.url_as(role, "postgres");
        Run::of(sessctl().env("DATABASE_URL", url).args(arguments))
    };
    as_role("sessctl_ci", &["verify"]).ok();
    as_role("sessctl_ci", &["status"]).ok();
    as_role("sessctl_ci", &["end-inactive"]).exits(3);
    assert!(
        as_role("sessctl_cron", &["end-inactive"])
            .ok()
            .stdout
            .contains("ended 900")
    );
    assert!(
        as_role("sessctl_cron", &["cleanup"])
            .ok()
            .stdout
            .contains("deleted 2,100")
    );
    as_role("sessctl_cron", &["migrate"]).exits(3);
}

#[test]
fn the_roles_pass_a_strict_verify_with_the_settings_that_allow_them() {
    let project = Project::start();
    for (_, sql) in blocks().into_iter().filter(|(_, text)| text.contains("create role")) {
        project.admin().batch_execute(&sql.replace('…', "postgres")).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    for role in ["postgres", "sessctl_ci"] {
        let verify = |arguments: &[&str]| {
            let password = if role == "postgres" {
                project.sandbox.password()
            } else {
                "postgres"
            };
            let mut command = sessctl();
            command
                .env("DATABASE_URL", project.url_as(role, password))
                .current_dir(folder.path());
            Run::of(command.arg("verify").args(arguments))
        };
        let mut tomls = blocks().into_iter().filter(|(language, _)| *language == "toml");
        let (_, text) = tomls.find(|(_, text)| text.contains("sessctl_ci")).unwrap();
        fs::write(folder.path().join("sessctl.toml"), text).unwrap();
        let run = verify(&[]).ok().says("allowed").says("up to date");
        assert!(!run.stdout.contains("absent"), "{}", run.stdout);
        fs::remove_file(folder.path().join("sessctl.toml")).unwrap();
        verify(&["--strict"]).exits(1);
    }
}

#[test]
fn the_settings_are_all_there_are_with_their_defaults() {
    let settings = |folder: &Path| {
        let run = Run::of(sessctl().current_dir(folder).args(["config", "--format", "json"]));
        let json = run.ok().json();
        let settings = json["settings"].as_array().unwrap();
        let part = |name: &str| -> Vec<Value> { settings.iter().map(|setting| setting[name].clone()).collect() };
        (part("key"), part("value"), part("source"))
    };
    let folder = tempfile::tempdir().unwrap();
    let (keys, values, _) = settings(folder.path());
    let (_, text) = blocks().into_iter().find(|(language, _)| *language == "toml").unwrap();
    fs::write(folder.path().join("sessctl.toml"), text).unwrap();
    let (_, in_readme, sources) = settings(folder.path());
    // What has no default stands as it is in the database; the file has the script's lists.
    let defaults = values.iter().zip(&in_readme).filter(|(value, _)| !value.is_null());
    assert!(defaults.clone().count() >= 7 && defaults.clone().all(|(value, in_readme)| value == in_readme));
    assert!(sources.iter().all(|source| source == "file"), "{keys:?}: {sources:?}");
}

#[test]
fn every_link_leads_somewhere() {
    for (page, text) in pages() {
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let is_elsewhere = link.starts_with("https://");
            assert!(
                is_elsewhere || Path::new(ROOT).join("docs").join(link).exists(),
                "no file {link} for {page}"
            );
        }
    }
    let slug = |title: &str| {
        let kept = title.to_lowercase().replace(' ', "-");
        kept.chars()
            .filter(|c| c.is_alphanumeric() || *c == '-')
            .collect::<String>()
    };
    let titles: Vec<String> = README
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(slug)
        .collect();
    for link in README.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        match link.strip_prefix('#') {
            Some(anchor) => assert!(titles.iter().any(|title| title == anchor), "no title for #{anchor}"),
            None => assert!(Path::new(ROOT).join(link).exists(), "no file {link}"),
        }
    }
}

#[test]
fn the_readme_and_the_command_line_have_the_same_options() {
    let options = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
        let options = words.filter(|word| {
            word.strip_prefix("--")
                .is_some_and(|name| name.starts_with(|c| c != '-'))
        });
        options.map(ToOwned::to_owned).collect()
    };
    let manual = options(&Run::of(sessctl().arg("man")).ok().stdout.replace("\\-", "-"));
    let readme = options(README);
    let of_others = ["--git", "--locked", "--now", "--path", "--schema-only"]
        .map(String::from)
        .into();
    let of_all = ["--help", "--version"].map(String::from).into();
    assert_eq!(&readme - &manual, of_others);
    assert_eq!(&manual - &readme, of_all);
}
