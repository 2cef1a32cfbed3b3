//! The README and the pages of docs are true: the picture is what the demo prints, their blocks run, their links lead somewhere.

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
use crate::common::{Run, block_on, clean, not_run, number, sessctl};
use crate::schedule::with_pg_cron;

const README: &str = include_str!("../README.md");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn blocks_of(page: &str) -> Vec<(&str, &str)> {
    let mut parts = page.split("```");
    parts.next();
    let fenced = parts.step_by(2);
    fenced.map(|block| block.split_once('\n').unwrap()).collect()
}

/// The README and the pages of docs: their names and their texts.
fn pages() -> Vec<(String, String)> {
    let files = fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    let docs = files.map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut pages: Vec<_> = pages.chain([Path::new(ROOT).join("README.md")]).collect();
    pages.sort();
    let page = |path: PathBuf| {
        let name = path.strip_prefix(ROOT).unwrap().display().to_string();
        (name, fs::read_to_string(path).unwrap())
    };
    pages.into_iter().map(page).collect()
}

/// A page of docs.
fn page(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join("docs").join(name)).unwrap()
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
    let temporary = tempfile::tempdir().unwrap();
    // Both streams in the order in which a terminal shows them.
    let script = format!("'{program}' demo --color always 2>&1");
    let run = Run::of(clean("sh").args(["-c", &script]).env("TMPDIR", temporary.path())).ok();
    let run_of = run.stdout.replace(&temporary.path().display().to_string(), "/tmp");
    let shown = run_of.split("\nFor your own database").next().unwrap();
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
        project.reset();
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
    fn reset(&self) {
        let mut admin = self.admin();
        if self.has_pg_cron {
            // A job that a block scheduled may have run while there was no schema.
            let forget = "select cron.unschedule(jobid) from cron.job; delete from cron.job_run_details";
            admin.batch_execute(forget).unwrap();
        }
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
        let program = program.args(arguments.split(' ')).current_dir(self.folder.path());
        Run::of(program.env("DATABASE_URL", self.url())).ok()
    }

    /// Runs a script as a user's shell does, in a folder of its own.
    fn shell(&self, script: &str) {
        let script = script.replace("postgresql://…", &self.url());
        let bin = Path::new(env!("CARGO_BIN_EXE_sessctl")).parent().unwrap();
        // The folder for temporary files may be mounted noexec.
        let tools = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let tools = tools.path();
        // What the tests themselves are part of: that make has such a target is all that can be looked at here.
        for (name, text) in [
            ("make", format!("exec /usr/bin/make -n -C '{ROOT}' \"$@\"")),
            ("cargo", "true".into()),
            // The binary that npm would have taken.
            ("npx", "shift; exec sessctl \"$@\"".into()),
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

/// Pages whose blocks run in tests of their own.
const APART: [&str; 2] = ["docs/clients.md", "docs/large-tables.md"];

/// Runs the blocks of the pages for which this holds, each on a database with the demo's sessions; files stay.
fn blocks_run(is_wanted: impl Fn(&str) -> bool) {
    let project = Project::start();
    for (page, text) in pages() {
        if APART.contains(&page.as_str()) || !is_wanted(&page) {
            continue;
        }
        for (language, text) in blocks_of(&text) {
            project.reset();
            project.run_block(&page, language, text);
        }
    }
}

#[test]
fn every_block_of_the_readme_and_of_the_first_pages_runs() {
    blocks_run(|page| page < "docs/d");
}

#[test]
fn every_block_of_the_other_pages_runs() {
    blocks_run(|page| page >= "docs/d");
}

impl Project {
    fn run_block(&self, page: &str, language: &str, text: &str) {
        let first = text.lines().next().unwrap_or_default();
        match (language, first) {
            ("sh", _) if text.contains("cargo install") => {
                not_run(&format!(
                    "cargo install of {page}: it builds what these tests have built"
                ));
            }
            ("sh", _) if text.contains("sessctl schedule") && !self.has_pg_cron => {
                not_run(&format!("the schedule commands of {page}, without pg_cron"));
            }
            ("sh", _) => self.shell(text),
            ("sql", "-- DuckDB") => self.python(
                page,
                text,
                &format!("import duckdb; duckdb.connect().execute({})", python_text(text)),
            ),
            ("python", "# pyarrow") => self.python(page, text, text),
            ("sql", "-- Athena") | ("python", "# Spark") => not_run(&format!("a block of {page}: {first}")),
            ("sql", _) => self.sql(text),
            ("toml", _) => self.configure(text),
            // What a command prints: the first line of it, which is a table's header or the JSON.
            ("console", command) => {
                let program = clean(env!("CARGO_BIN_EXE_sessctl"));
                let run = self.run(program, command.strip_prefix("$ sessctl ").unwrap());
                let line = |text: &str| lasting(text.lines().next().unwrap().split("\"timeout_share").next().unwrap());
                assert_eq!(line(text.split_once('\n').unwrap().1), line(&run.stdout), "{page}");
            }
            // What a terminal shows below it.
            ("text", _) => {}
            ("crontab", _) => text.lines().for_each(|line| {
                let command = line.splitn(6, ' ').nth(5).unwrap();
                self.shell(&command.replace("/var/lib/prometheus/node-exporter/", ""));
            }),
            ("yaml", _) => text.lines().map(str::trim).for_each(|line| self.yaml(line)),
            _ => panic!("nobody runs a block in {language:?} of {page}: {text}"),
        }
    }

    fn sql(&self, text: &str) {
        let rows = || number(&mut self.admin(), "select count(*) from public.user_sessions");
        let before = rows();
        let sql = text.replace("to ROLE", "to service_role");
        let major = number(
            &mut self.admin(),
            "select current_setting('server_version_num')::int8 / 10000",
        );
        if sql.contains("to service_role") || sql.contains("bypassrls") && major < 16 {
            self.admin().batch_execute(&sql).unwrap();
        } else {
            let mut client = Client::connect(&self.sandbox.url(), NoTls).unwrap();
            client.batch_execute(&sql).unwrap();
        }
        assert!(before > 0 && rows() >= before, "sessions are lost by {sql}");
    }

    fn yaml(&self, line: &str) {
        if let Some(command) = line.strip_prefix("- run: ") {
            self.shell(command);
        }
    }

    /// The roles of the pages, with the password postgres.
    fn create_roles(&self) {
        for name in ["schedule.md", "ci.md"] {
            let page = page(name);
            let (_, sql) = blocks_of(&page)
                .into_iter()
                .find(|(_, text)| text.contains("create role"))
                .unwrap();
            self.admin().batch_execute(&sql.replace('…', "postgres")).unwrap();
        }
    }

    fn python(&self, page: &str, text: &str, script: &str) {
        if let Some(python) = python(page) {
            let mut command = clean(python.to_str().unwrap());
            Run::of(command.args(["-c", script]).current_dir(self.folder.path())).ok();
        } else if text.contains("'archive-new'") {
            // The next block moves it.
            fs::create_dir(self.folder.path().join("archive-new")).unwrap();
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
    let page = page("archive.md");
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
    project.create_roles();
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
    project.create_roles();
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
        let ci = page("ci.md");
        let (_, text) = blocks_of(&ci)
            .into_iter()
            .find(|(language, _)| *language == "toml")
            .unwrap();
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
    let configure = page("configure.md");
    let (_, text) = blocks_of(&configure)
        .into_iter()
        .find(|(language, _)| *language == "toml")
        .unwrap();
    fs::write(folder.path().join("sessctl.toml"), text).unwrap();
    let (_, in_readme, sources) = settings(folder.path());
    // What has no default stands as it is in the database; the file has the script's lists.
    let defaults = values.iter().zip(&in_readme).filter(|(value, _)| !value.is_null());
    assert!(defaults.clone().count() >= 7 && defaults.clone().all(|(value, in_readme)| value == in_readme));
    assert!(sources.iter().all(|source| source == "file"), "{keys:?}: {sources:?}");
}

/// The anchors of a page's titles.
fn anchors(text: &str) -> Vec<String> {
    let titles = text
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    let slug = |title: &str| {
        let kept = title.to_lowercase().replace(' ', "-");
        kept.chars()
            .filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_')
            .collect()
    };
    titles.map(slug).collect()
}

#[test]
fn every_link_leads_somewhere() {
    for (page, text) in pages() {
        let folder = Path::new(ROOT).join(&page).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                Path::new(ROOT).join(&page)
            } else {
                folder.join(file)
            };
            assert!(target.exists(), "no file {link} for {page}");
            if !anchor.is_empty() {
                let titles = anchors(&fs::read_to_string(&target).unwrap());
                assert!(
                    titles.iter().any(|title| title == anchor),
                    "no title for {link} of {page}"
                );
            }
        }
    }
}

#[test]
fn the_readme_names_every_page() {
    for (page, _) in pages() {
        assert!(page == "README.md" || README.contains(&format!("]({page})")), "{page}");
    }
}

#[test]
fn the_pages_and_the_command_line_have_the_same_options() {
    let options = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
        let options = words.filter(|word| {
            word.strip_prefix("--")
                .is_some_and(|name| name.starts_with(|c| c != '-'))
        });
        options.map(ToOwned::to_owned).collect()
    };
    let manual = options(&Run::of(sessctl().arg("man")).ok().stdout.replace("\\-", "-"));
    let readme = pages()
        .iter()
        .flat_map(|(_, text)| options(text))
        .collect::<BTreeSet<_>>();
    let of_others = [
        "--check",
        "--git",
        "--ignore-missing",
        "--locked",
        "--now",
        "--omit",
        "--path",
        "--repo",
        "--rm",
    ]
    .map(String::from)
    .into();
    assert_eq!(&readme - &manual, of_others);
    assert_eq!(&manual - &readme, BTreeSet::new());
}
