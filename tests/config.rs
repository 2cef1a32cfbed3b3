//! `sessctl.toml`: where it is found, what comes before it, what it refuses, and what it does.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sessctl::sandbox::Grants;
use tempfile::TempDir;

use crate::common::{Db, Run, not_run, sessctl};
use crate::migrate::fill;

/// A repository with a folder `a/b` in it.
fn repository() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("a/b")).unwrap();
    fs::create_dir(folder.path().join(".git")).unwrap();
    folder
}

fn write(folder: &Path, text: &str) {
    fs::write(folder.join("sessctl.toml"), text).unwrap();
}

fn within(folder: &Path) -> Command {
    let mut command = sessctl();
    command.current_dir(folder);
    command
}

/// The setting of this key, as `sessctl config` shows it.
#[track_caller]
fn setting(command: &mut Command, key: &str) -> Value {
    let json = Run::of(command.args(["config", "--format", "json"])).ok().json();
    let settings = json["settings"].as_array().unwrap();
    settings.iter().find(|setting| setting["key"] == key).unwrap().clone()
}

/// Runs `sessctl config` on a file with this text, which it refuses.
#[track_caller]
fn refused(text: impl AsRef<[u8]>) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sessctl.toml"), text).unwrap();
    let run = Run::of(within(folder.path()).arg("config")).exits(2);
    assert_eq!(run.stdout, "");
    run.stderr
}

#[test]
fn a_flag_comes_before_the_environment_the_environment_before_the_file() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "[end-inactive]\nminutes = 30\n");
    let minutes = |variable: Option<&str>, arguments: &[&str]| {
        let mut command = within(folder.path());
        if let Some(value) = variable {
            command.env("SESSCTL_END_INACTIVE_MINUTES", value);
        }
        let arguments = [&["schedule", "install", "--dry-run"], arguments].concat();
        let run = Run::of(command.args(arguments)).ok();
        let (_, rest) = run.stdout.split_once("sessctl.run_end_inactive(").unwrap();
        rest.split_once([',', ')']).unwrap().0.to_owned()
    };
    assert_eq!(minutes(Some("20"), &["--minutes", "10"]), "10");
    assert_eq!(minutes(Some("20"), &[]), "20");
    assert_eq!(minutes(Some(" "), &[]), "30");
    assert_eq!(minutes(None, &[]), "30");
    fs::remove_file(folder.path().join("sessctl.toml")).unwrap();
    assert_eq!(minutes(None, &[]), "60");
}

#[test]
fn the_file_is_looked_for_up_to_the_root_of_the_repository() {
    let repository = repository();
    let (root, below) = (repository.path(), repository.path().join("a/b"));
    let minutes = || {
        let setting = setting(&mut within(&below), "end-inactive.minutes");
        (setting["value"].clone(), setting["place"].clone())
    };
    write(root, "[end-inactive]\nminutes = 1\n");
    assert_eq!(minutes(), (json!(1), json!("../../sessctl.toml:2")));
    write(&root.join("a"), "[end-inactive]\nminutes = 2\n");
    assert_eq!(minutes(), (json!(2), json!("../sessctl.toml:2")));
    write(&below, "[end-inactive]\n\nminutes = 3\n");
    assert_eq!(minutes(), (json!(3), json!("sessctl.toml:3")));
    fs::remove_file(below.join("sessctl.toml")).unwrap();
    // What is above the root of a repository is not its own. A file `.git` is a work tree's.
    fs::write(below.join(".git"), "gitdir: elsewhere").unwrap();
    assert_eq!(minutes(), (json!(60), Value::Null));
}

#[test]
fn without_a_repository_only_the_current_folder_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("a");
    fs::create_dir(&below).unwrap();
    write(folder.path(), "[end-inactive]\nminutes = 1\n");
    assert_eq!(setting(&mut within(folder.path()), "end-inactive.minutes")["value"], 1);
    assert_eq!(setting(&mut within(&below), "end-inactive.minutes")["value"], 60);
}

#[test]
fn a_file_above_that_belongs_to_another_user_is_refused_until_it_is_named() {
    let repository = repository();
    let below = repository.path().join("a");
    write(repository.path(), "[cleanup]\ndays = 1\n");
    if fs::metadata(&below).unwrap().uid() != 0 {
        not_run("a sessctl.toml of another user: only root can give a file away");
        return;
    }
    chown(repository.path().join("sessctl.toml"), Some(65_534), None).unwrap();
    Run::of(within(&below).arg("config"))
        .exits(2)
        .says("../sessctl.toml belongs to another user than the current folder")
        .says("--config ../sessctl.toml");
    Run::of(within(&below).args(["config", "--config", "../sessctl.toml"])).ok();
    chown(&below, Some(65_534), None).unwrap();
    assert_eq!(setting(&mut within(&below), "cleanup.days")["value"], 1);
}

#[test]
fn the_flag_and_the_variable_name_a_file() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "[cleanup]\ndays = 1\n");
    for (name, days) in [("two.toml", 2), ("three.toml", 3)] {
        fs::write(
            folder.path().join(name),
            format!("\u{feff}[cleanup]\r\ndays = {days}\r\n"),
        )
        .unwrap();
    }
    let mut command = within(folder.path());
    command.env("SESSCTL_CONFIG", "two.toml");
    assert_eq!(setting(&mut command, "cleanup.days")["value"], 2);
    let mut command = within(folder.path());
    command
        .env("SESSCTL_CONFIG", "two.toml")
        .args(["--config", "three.toml"]);
    assert_eq!(setting(&mut command, "cleanup.days")["value"], 3);
    let mut command = within(folder.path());
    command.env("SESSCTL_CONFIG", "");
    assert_eq!(setting(&mut command, "cleanup.days")["value"], 1);
    for command in ["config", "cleanup", "end-inactive", "verify"] {
        Run::of(within(folder.path()).args([command, "--config", "none.toml"]))
            .exits(2)
            .says("none.toml does not exist");
    }
}

#[test]
fn what_is_no_regular_file_or_too_large_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [pipe.to_str().unwrap(), "/dev/zero", "/"] {
        Run::of(sessctl().args(["config", "--config", path]))
            .exits(2)
            .says("is not a regular file");
    }
    assert!(refused(vec![b'#'; 1024 * 1024 + 1]).contains("sessctl.toml is larger than 1 MB"));
    assert!(refused(b"a = \xff").contains("sessctl.toml is not UTF-8 text"));
    assert!(refused("a = ".to_owned() + &"[".repeat(100_000)).contains("not TOML"));
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_one() {
    for (text, place, nearest) in [
        ("[end-inactive]\nminuets = 5", "2:1", "end-inactive.minutes"),
        ("\n  days = 5", "2:3", "cleanup.days"),
        ("cleanup.keep_referenced = true", "1:9", "cleanup.keep-referenced"),
        ("[verify]\nstrict = true\n[cleenup]\ndays = 5", "3:2", "cleanup"),
        ("[verify]\nallowed = []\nx = 1", "2:1", "verify.allow"),
    ] {
        let error = refused(text);
        assert!(
            error.starts_with(&format!("error: sessctl.toml:{place}: unknown ")),
            "{error}"
        );
        assert!(error.contains(&format!(" is {nearest};")), "{error}");
    }
    assert!(refused("zzz = 1").contains("the keys are table.platforms, "));
}

#[test]
fn a_value_that_a_key_can_not_have_is_named_with_its_place_and_never_shown() {
    for (text, place, what) in [
        (
            "cleanup.days = 0",
            "1:16",
            "cleanup.days must be a whole number from 1 to 36500",
        ),
        ("cleanup.days = 36501", "1:16", "must be a whole number"),
        ("cleanup.days = 1.5", "1:16", "must be a whole number"),
        ("cleanup.days = \"hunter2\"", "1:16", "must be a whole number"),
        ("cleanup.days = 99999999999999999999", "1:16", "must be a whole number"),
        ("cleanup = 5", "1:11", "cleanup must be a table"),
        ("[[cleanup]]", "1:1", "cleanup must be a table"),
        ("[cleanup.days]", "1:1", "must be a whole number"),
        ("verify.strict = \"hunter2\"", "1:17", "must be true or false"),
        (
            "end-inactive.ended-at = 'hunter2'",
            "1:25",
            "must be \"now\" or \"last-heartbeat\"",
        ),
        ("verify.allow = \"hunter2\"", "1:16", "must be a list of texts"),
        ("verify.allow = ['trigger:a', 5]", "1:16", "must be a list of texts"),
        (
            "verify.allow = [\n  'trigger:a',\n  'hunter2',\n]",
            "3:3",
            "expected KIND:NAME",
        ),
        ("verify.allow = ['trigger:a', 'trigger:a']", "1:30", "has a text twice"),
        ("verify.allow = ['']", "1:17", "has an empty text"),
        ("verify.allow = ['trigger:\u{202e}a']", "1:17", "an invisible one"),
        ("x = hunter2", "1:5", "not TOML"),
        ("hunter2", "1:8", "not TOML"),
    ] {
        let error = refused(text);
        assert!(
            error.starts_with(&format!("error: sessctl.toml:{place}")),
            "{text}: {error}"
        );
        assert!(error.contains(what) && !error.contains("hunter2"), "{text}: {error}");
    }
    for (variable, value) in [
        ("SESSCTL_CLEANUP_DAYS", "hunter2"),
        ("SESSCTL_VERIFY_STRICT", "yes"),
        ("SESSCTL_VERIFY_ALLOW", "trigger:a,hunter2"),
    ] {
        let run = Run::of(sessctl().env(variable, value).arg("config")).exits(2);
        assert!(run.stderr.starts_with(&format!("error: {variable} ")), "{run:?}");
        assert!(!run.stderr.contains("hunter2"), "{run:?}");
    }
}

#[test]
fn connection_strings_and_secrets_are_refused_and_never_shown() {
    for text in [
        "database-url = \"postgresql://postgres:hunter2@h/d\"",
        "# postgres://postgres:hunter2@h/d",
        "url = hunter2@h",
        "[database]\nhost = 'hunter2'",
        "password = 'hunter2'",
        "[verify]\nallow = ['host=h password=hunter2']",
        "[verify]\ndb_password = 'hunter2'",
        "service_role_token = 'eyJhbGciOiJIUzI1NiIsInR5.hunter2'",
        "x = 'https://user:hunter2@h/'",
    ] {
        let error = refused(text);
        assert!(!error.contains("hunter2"), "{error}");
        // Where it is not TOML, that is said instead.
        let is_told = error.contains("a connection string or a secret may not be in this file");
        assert!(is_told || error.contains("not TOML"), "{text}: {error}");
    }
}

#[test]
fn the_connection_string_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let url = "postgresql://postgres:hunter2@h/d";
    for format in ["table", "json", "csv"] {
        let run = |command: &mut Command| {
            let run = Run::of(command.args(["config", "--format", format])).ok();
            assert!(
                !run.stdout.contains("hunter2") && !run.stderr.contains("hunter2"),
                "{run:?}"
            );
            run
        };
        run(within(folder.path()).env("SUPABASE_DB_URL", url)).says("SUPABASE_DB_URL");
        run(within(folder.path()).args(["--database-url", url])).says("--database-url");
    }
}

#[test]
fn end_inactive_cleanup_and_verify_follow_the_file_and_a_flag_overrides_it() {
    let db = Db::migrated(Grants::Closed);
    fill(&db, 10);
    db.client()
        .batch_execute(
            "update public.user_sessions set status = 'idle', last_heartbeat_at = now() - interval '20 minutes';
             alter table public.user_sessions add column app_version text",
        )
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "[end-inactive]\nminutes = 10\ninclude-idle = true\nended-at = \"last-heartbeat\"\n[cleanup]\ndays = 1\n[verify]\nstrict = true\n",
    );
    let run = |arguments: &[&str]| Run::of(db.command(arguments).current_dir(folder.path()));
    let would = |arguments: &[&str], count: &str| {
        run(&[arguments, &["--dry-run"]].concat()).ok().says(count);
    };
    would(&["end-inactive"], "would end 10 ");
    would(&["end-inactive", "--minutes", "30"], "would end 0 ");
    would(&["end-inactive", "--include-idle=false"], "would end 0 ");
    run(&["end-inactive"]).ok().says("ended 10 ");
    let ended = "select count(*) from public.user_sessions where ended_at < now() - interval '19 minutes'";
    assert_eq!(db.client().query_one(ended, &[]).unwrap().get::<_, i64>(0), 10);
    db.client()
        .batch_execute("update public.user_sessions set started_at = now() - interval '3 days', created_at = now() - interval '3 days', last_activity_at = now() - interval '2 days',
               last_heartbeat_at = now() - interval '2 days', ended_at = now() - interval '2 days'")
        .unwrap();
    would(&["cleanup", "--days", "3"], "would delete 0 ");
    would(&["cleanup"], "would delete 10 ");
    run(&["verify"]).exits(1).says("drift");
    run(&["verify", "--strict=false"]).ok().says("extra");
}

#[test]
fn what_the_file_allows_is_allowed_and_a_flag_adds_to_it() {
    let db = Db::migrated(Grants::Closed);
    db.admin()
        .batch_execute(
            "create trigger audit after insert on public.user_sessions for each row execute function public.update_user_sessions_updated_at_column();
             create policy support on public.user_sessions for select to service_role using (true)",
        )
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "[verify]\nallow = [\"trigger:audit\"]\n");
    let run = |arguments: &[&str]| Run::of(db.command(arguments).current_dir(folder.path()));
    run(&["verify"]).exits(1).says("drift    policy support");
    run(&["verify", "--allow", "policy:support"])
        .ok()
        .says("allowed  trigger audit");
}
