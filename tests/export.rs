//! `sessctl export`: what its file does to a project in each state, what it writes beside what is there, and the supabase CLI.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use sessctl::migrations::export_with;
use sessctl::sandbox::Grants;
use tempfile::TempDir;

use crate::common::{BOTH_GENERATIONS, Db, ORIGINAL_SCRIPT, Run, clean, not_run, number, sessctl};
use crate::migrate::{fill, latest};
use crate::snapshot::facts;
use crate::upgrade::{FUNCTIONS, later_migration, migrate_later, rights};

const FOLDER: &str = "supabase/migrations";

/// A repository with the folder of the supabase CLI's migrations.
struct Repository(TempDir);

impl Repository {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(FOLDER)).unwrap();
        Self(folder)
    }

    fn declaring(text: &str) -> Self {
        let repository = Self::new();
        fs::write(repository.0.path().join("sessctl.toml"), text).unwrap();
        repository
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(FOLDER).join(name)
    }

    fn add(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, command: &mut Command) -> Run {
        Run::of(command.current_dir(self.0.path()))
    }

    fn export(&self) -> Run {
        self.run(sessctl().args(["export", FOLDER]))
    }

    /// The name of the file that an export writes, and its text.
    #[track_caller]
    fn exported(&self) -> (String, String) {
        let json = self
            .run(sessctl().args(["export", FOLDER, "--format", "json"]))
            .ok()
            .json();
        assert_eq!(json["version"], latest());
        let file = json["file"].as_str().unwrap();
        let name = file.strip_prefix("supabase/migrations/").unwrap().to_owned();
        let text = fs::read_to_string(self.path(&name)).unwrap();
        (name, text)
    }

    /// All files with their texts.
    fn files(&self) -> BTreeMap<String, String> {
        let entries = fs::read_dir(self.path("")).unwrap().map(Result::unwrap);
        let read = |entry: fs::DirEntry| {
            let text = fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), text)
        };
        entries.map(read).collect()
    }
}

/// Runs a file's text; the server's message where it fails.
fn apply(db: &Db, text: &str) -> Result<(), String> {
    let applied = db.client().batch_execute(text);
    applied.map_err(|error| error.as_db_error().unwrap().message().to_owned())
}

/// The history with its times.
fn history(db: &Db) -> Vec<String> {
    let sql = "select h::text from sessctl.schema_history as h order by h.version";
    let rows = db.client().query(sql, &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[track_caller]
fn is_up_to_date(db: &Db) {
    db.sessctl(&["verify"]).ok().says("up to date");
    db.sessctl(&["migrate"]).ok().says("nothing to do");
    let status = db.sessctl(&["status", "--format", "json"]).ok().json();
    for migration in status["migrations"].as_array().unwrap() {
        assert_eq!(migration["state"], "applied");
    }
}

/// The file is refused, names the statement that repairs its own row, and changes nothing.
#[track_caller]
fn is_refused(db: &Db, (name, text): &(String, String), why: &str) {
    let before = facts(db);
    let message = apply(db, text).unwrap_err();
    let timestamp = name.split('_').next().unwrap();
    let advice = format!("run sessctl migrate, then supabase migration repair --status applied {timestamp}");
    assert_eq!(message, format!("{why}: {advice}"));
    assert!(before == facts(db));
}

#[test]
fn the_file_makes_what_migrate_makes() {
    let (_, text) = Repository::new().exported();
    for grants in BOTH_GENERATIONS {
        let expected = facts(&Db::migrated(grants));
        let copy = Db::migrated(grants);
        copy.client().batch_execute("truncate sessctl.schema_history").unwrap();
        let behind = Db::fresh(grants);
        behind.sessctl(&["migrate", "--target", "3"]).ok();
        for db in [Db::fresh(grants), Db::pasted(grants), copy, behind] {
            apply(&db, &text).unwrap();
            assert!(facts(&db) == expected);
            is_up_to_date(&db);
            let before = history(&db);
            apply(&db, &text).unwrap();
            assert_eq!(history(&db), before);
        }
    }
}

#[test]
fn the_file_does_nothing_to_a_migrated_project() {
    let (_, text) = Repository::new().exported();
    for grants in BOTH_GENERATIONS {
        let db = Db::migrated(grants);
        fill(&db, 10);
        let mut client = db.client();
        // What a newer release adds is no obstacle.
        client
            .batch_execute("insert into sessctl.schema_history values (99, 'later', '2030-01-01T00:00:00Z', '1')")
            .unwrap();
        let before = (facts(&db), history(&db));
        // It waits for nothing either.
        let mut transaction = client.transaction().unwrap();
        transaction.batch_execute("lock table public.user_sessions").unwrap();
        apply(&db, &text).unwrap();
        transaction.rollback().unwrap();
        assert!(before == (facts(&db), history(&db)));
    }
}

#[test]
fn the_file_refuses_a_project_with_sessions_before_any_change() {
    let file = Repository::new().exported();
    for grants in BOTH_GENERATIONS {
        let db = Db::pasted(grants);
        fill(&db, 1);
        // Nor does it wait for those who read and write.
        let mut client = db.client();
        let mut transaction = client.transaction().unwrap();
        transaction
            .batch_execute("lock table public.user_sessions in row exclusive mode")
            .unwrap();
        is_refused(&db, &file, "public.user_sessions has sessions");
        transaction.rollback().unwrap();
        let made = "select count(*) from pg_namespace where nspname = 'sessctl'";
        assert_eq!(number(&mut db.client(), made), 0);
        // The way that it names.
        db.sessctl(&["migrate"]).ok();
        apply(&db, &file.1).unwrap();
        is_up_to_date(&db);
    }
}

#[test]
fn the_file_refuses_what_it_does_not_know() {
    let file = Repository::new().exported();
    let cases = [
        (
            "drop table public.user_sessions cascade; delete from sessctl.schema_history where version > 5",
            "public.user_sessions was dropped or moved",
        ),
        (
            "update sessctl.schema_history set checksum = '7' where version = 2",
            "the database has another history of sessctl's migrations",
        ),
        (
            "delete from sessctl.schema_history where version = 2",
            "the database has another history of sessctl's migrations",
        ),
        (
            "drop table public.user_sessions cascade; drop schema sessctl cascade;
             create view public.user_sessions as select 1 as id",
            "public.user_sessions is not a table",
        ),
    ];
    for (sql, why) in cases {
        let db = Db::migrated(Grants::Closed);
        db.client().batch_execute(sql).unwrap();
        is_refused(&db, &file, why);
    }
}

#[test]
fn the_file_refuses_a_project_whose_table_is_gone_and_names_the_repair() {
    let (name, text) = Repository::new().exported();
    for gone in [
        "drop table public.user_sessions cascade",
        "alter table public.user_sessions rename to old_sessions",
        // With a newer release, too.
        "drop table public.user_sessions cascade;
         insert into sessctl.schema_history values (99, 'later', '2030-01-01T00:00:00Z', '1')",
    ] {
        let db = Db::migrated(Grants::Closed);
        db.client().batch_execute(gone).unwrap();
        let before = facts(&db);
        let message = apply(&db, &text).unwrap_err();
        let timestamp = name.split('_').next().unwrap();
        assert_eq!(
            message,
            format!(
                "public.user_sessions was dropped or moved: run sessctl migrate --repair, then supabase migration repair --status applied {timestamp}"
            )
        );
        assert!(before == facts(&db));
    }
    // The way that it names.
    let db = Db::migrated(Grants::Open);
    db.client()
        .batch_execute("drop table public.user_sessions cascade")
        .unwrap();
    db.sessctl(&["migrate", "--repair"]).ok();
    apply(&db, &text).unwrap();
    is_up_to_date(&db);
}

#[test]
fn the_file_waits_for_no_lock_and_for_no_other_migrate() {
    let (_, text) = Repository::new().exported();
    let db = Db::pasted(Grants::Open);
    let mut other = db.client();
    let mut transaction = other.transaction().unwrap();
    transaction
        .batch_execute("lock table public.user_sessions in row exclusive mode")
        .unwrap();
    assert_eq!(
        apply(&db, &text).unwrap_err(),
        "canceling statement due to lock timeout"
    );
    transaction.rollback().unwrap();
    let mut transaction = other.transaction().unwrap();
    transaction
        .batch_execute("select pg_advisory_xact_lock(1936028531, 1)")
        .unwrap();
    let message = apply(&db, &text).unwrap_err();
    assert!(message.starts_with("another sessctl migrate is running"), "{message}");
    transaction.rollback().unwrap();
    apply(&db, &text).unwrap();
    is_up_to_date(&db);
}

#[test]
fn the_file_is_one_statement_that_depends_on_no_setting() {
    let (_, text) = Repository::new().exported();
    for settings in [
        "set search_path = ''",
        "set search_path = auth, public",
        "set default_transaction_isolation = 'serializable'",
        "set session sessctl.platforms = '[\"none\"]'",
        "set standard_conforming_strings = off; set timezone = 'Asia/Kolkata'; set datestyle = 'German'",
    ] {
        let db = Db::fresh(Grants::Closed);
        let mut client = db.client();
        client.batch_execute(settings).unwrap();
        // With parameters, or none, a message of the extended protocol holds one statement alone.
        client.execute(&text, &[]).unwrap();
        is_up_to_date(&db);
        assert!(facts(&db) == facts(&Db::migrated(Grants::Closed)), "{settings}");
    }
}

#[test]
fn the_file_has_the_declared_lists() {
    let declared = "[table]\nplatforms = ['web', 'android', \"the team's $sessctl$ \\\\ {declaration} {tag}\"]\nend-reasons = ['timeout', 'replaced']\nwithout-indexes = ['idx_user_sessions_last_activity', 'idx_user_sessions_platform']\n";
    let repository = Repository::declaring(declared);
    let file = repository.exported();
    for grants in BOTH_GENERATIONS {
        for db in [Db::fresh(grants), Db::pasted(grants)] {
            apply(&db, &file.1).unwrap();
            is_up_to_date(&db);
            repository.run(&mut db.command(&["verify", "--strict"])).ok();
            repository.run(&mut db.command(&["migrate"])).ok().says("nothing to do");
        }
    }
    let quiet = repository.export().ok().says("nothing new");
    assert_eq!(quiet.stderr, "");
    fs::write(
        repository.0.path().join("sessctl.toml"),
        "[table]\nplatforms = ['web']\n",
    )
    .unwrap();
    repository
        .export()
        .ok()
        .says("nothing new")
        .says("another declaration than that in force");

    let db = Db::pasted(Grants::Closed);
    db.client()
        .batch_execute(
            "alter table public.user_sessions drop constraint user_sessions_platform_check,
             add constraint user_sessions_platform_check check (platform ~ '^[a-z]+$')",
        )
        .unwrap();
    is_refused(&db, &file, "a CHECK that is to get a declared list is not a list");
}

#[test]
fn a_later_release_writes_what_is_new() {
    let repository = Repository::new();
    let (first, text) = repository.exported();
    repository.export().ok().says("nothing new").says(&first);
    assert_eq!(repository.files().len(), 1);

    // As if a release of version 12 had written it.
    let older = first.replace(&format!("_v{}", latest()), "_v12");
    fs::rename(repository.path(&first), repository.path(&older)).unwrap();
    let later = repository.exported();
    assert!(later.0 > older && !later.1.contains("$sessctl_v12$") && later.1.contains("$sessctl_v13$"));
    assert_eq!(
        repository.files(),
        BTreeMap::from([(older.clone(), text), later.clone()])
    );
    repository.export().ok().says("nothing new").says(&later.0);

    let behind = Db::fresh(Grants::Closed);
    behind.sessctl(&["migrate", "--target", "12"]).ok();
    apply(&behind, &later.1).unwrap();
    is_up_to_date(&behind);
    let before = history(&behind);
    apply(&behind, &later.1).unwrap();
    assert_eq!(history(&behind), before);

    let filled = Db::fresh(Grants::Closed);
    filled.sessctl(&["migrate", "--target", "12"]).ok();
    fill(&filled, 1);
    is_refused(&filled, &later, "public.user_sessions has sessions");
    let fresh = Db::fresh(Grants::Closed);
    is_refused(&fresh, &later, "the database lacks migrations of an earlier file");
    // Not even where a newer sessctl has exported.
    repository.add("20300101000000_sessctl_v99.sql", "");
    repository.export().ok().says("nothing new").says("version 99");
}

#[test]
fn the_file_of_a_release_with_a_later_migration_does_what_its_migrate_does() {
    for grants in BOTH_GENERATIONS {
        let db = Db::migrated(grants);
        let role = format!("cron_{}", db.name);
        let sql = format!("create role {role} bypassrls; select sessctl.grant_maintenance('{role}')");
        db.admin().batch_execute(&sql).unwrap();
        apply(&db, &export_with(later_migration(), latest())).unwrap();
        assert!(migrate_later(&db).is_empty());
        let all = number(&mut db.client(), FUNCTIONS);
        for role in [&*role, "service_role"] {
            assert_eq!(rights(&db, role), (all, true), "{role}");
        }
        // A folder with both files, and one with a file of that release alone.
        let whole = Db::fresh(grants);
        apply(&whole, &export_with(later_migration(), 0)).unwrap();
        assert!(migrate_later(&whole).is_empty());
        assert_eq!(rights(&whole, "service_role"), (all, true));
        db.admin()
            .batch_execute(&format!("drop owned by {role}; drop role {role}"))
            .unwrap();
        assert!(facts(&db) == facts(&whole));
    }
}

#[test]
fn the_file_comes_after_all_others_and_changes_none_of_them() {
    let repository = Repository::new();
    let others = [
        "20200101000000_init.sql",
        "20200102000000_sessctl_views.sql",
        "0001_short.sql",
        "29991231235959_ahead.sql",
        "notes.sql",
        "99999999999999.sql",
        "88888888888888_notes.txt",
        "x9_sessctl_v99.sql",
    ];
    for name in others {
        repository.add(name, "select 1");
    }
    let before = repository.files();
    let (name, _) = repository.exported();
    assert_eq!(name, format!("30000101000000_sessctl_v{}.sql", latest()));
    let mode = fs::metadata(repository.path(&name)).unwrap().permissions().mode();
    assert_eq!(mode & 0o444, 0o444, "readable as any other file");
    let mut after = repository.files();
    after.remove(&name).unwrap();
    assert_eq!(before, after);

    for name in [
        "99991231235959_last.sql",
        "30000101_day.sql",
        "299912312359590_long.sql",
        "9_x.sql",
    ] {
        let repository = Repository::new();
        repository.add(name, "select 1");
        repository.export().exits(3).says(name).says("rename it");
        assert_eq!(repository.files().len(), 1);
    }
}

#[test]
fn a_folder_that_is_not_there_is_named_with_the_one_to_take() {
    let repository = Repository::new();
    for folder in ["supabase/migration", "sessctl.toml"] {
        fs::write(repository.0.path().join("sessctl.toml"), "").unwrap();
        let run = repository.run(sessctl().args(["export", folder])).exits(2);
        let run = run.says(folder).says("supabase/migrations");
        assert_eq!(run.stdout, "");
    }
    repository.run(sessctl().arg("export")).exits(2);
}

/// The supabase CLI in a repository, if it is there.
fn supabase(repository: &Repository) -> Option<impl Fn(&Db, &[&str]) -> Run> {
    if clean("supabase").arg("--version").output().is_err() {
        not_run("the exported file with the supabase CLI, which is not installed");
        return None;
    }
    let folder = repository.0.path().to_owned();
    Some(move |db: &Db, arguments: &[&str]| {
        let mut command = clean("supabase");
        command.args(arguments).args(["--yes", "--db-url", &db.url()]);
        command.env("HOME", &folder).env("SUPABASE_TELEMETRY_DISABLED", "1");
        Run::of(command.current_dir(&folder))
    })
}

#[test]
fn the_supabase_cli_applies_the_file() {
    let repository = Repository::new();
    let Some(supabase) = supabase(&repository) else { return };
    repository.add("20200101000000_sessions.sql", ORIGINAL_SCRIPT);
    let pasted_before = repository.exported();
    fs::remove_file(repository.path("20200101000000_sessions.sql")).unwrap();
    let push: &[&str] = &["db", "push"];
    let up: &[&str] = &["migration", "up"];
    for (grants, command) in [(Grants::Open, push), (Grants::Closed, up)] {
        // The file first, then migrate; and the other way about.
        let db = Db::fresh(grants);
        supabase(&db, command).ok();
        is_up_to_date(&db);
        let db = Db::migrated(grants);
        fill(&db, 10);
        let before = history(&db);
        supabase(&db, command).ok();
        assert_eq!(history(&db), before);
        is_up_to_date(&db);

        // With sessions: refused, then migrate and the repair that the message names.
        let db = Db::pasted(grants);
        fill(&db, 10);
        let timestamp = pasted_before.0.split('_').next().unwrap();
        let repair = format!("supabase migration repair --status applied {timestamp}");
        let run = supabase(&db, command).says(&repair);
        assert_ne!(run.code, 0);
        db.sessctl(&["migrate"]).ok();
        supabase(&db, &["migration", "repair", "--status", "applied", timestamp]).ok();
        supabase(&db, command).ok().says("up to date");
        is_up_to_date(&db);
    }
    // A reset drops the schemas that users made, sessctl's too. On the platform, auth is not theirs.
    let db = Db::migrated(Grants::Closed);
    fill(&db, 10);
    db.admin()
        .batch_execute("alter schema auth owner to supabase_admin; grant all on all tables in schema auth to postgres")
        .unwrap();
    supabase(&db, &["db", "reset"]).ok();
    is_up_to_date(&db);
    assert_eq!(number(&mut db.client(), "select count(*) from public.user_sessions"), 0);
    // A project that has the original script as a migration of its own.
    repository.add("20200101000000_sessions.sql", ORIGINAL_SCRIPT);
    for grants in BOTH_GENERATIONS {
        let db = Db::fresh(grants);
        supabase(&db, push).ok();
        is_up_to_date(&db);
        assert!(facts(&db) == facts(&Db::migrated(grants)));
    }
}
