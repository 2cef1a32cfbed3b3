//! Platforms and end reasons: what is there stays, what is declared is applied, and nothing is taken away in silence.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::thread;

use sessctl::sandbox::Grants;
use tempfile::TempDir;

use crate::common::{BOTH_GENERATIONS, Db, Run, number, sessctl_on};
use crate::snapshot::facts;

const SCRIPT: &str = "'web', 'ios-external', 'ios-internal', 'ios-widget', 'macos-internal'";

/// A machine with this sessctl.toml.
pub struct Machine(TempDir);

impl Machine {
    pub fn with(text: &str) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.says(text);
        machine
    }

    pub fn says(&self, text: &str) {
        fs::write(self.0.path().join("sessctl.toml"), text).unwrap();
    }

    pub fn run(&self, db: &Db, arguments: &[&str]) -> Run {
        Run::of(&mut self.command(db.url(), arguments))
    }

    pub fn command(&self, url: String, arguments: &[&str]) -> Command {
        let mut command = sessctl_on(url, arguments);
        command.current_dir(self.0.path());
        command
    }
}

fn platforms(list: &str) -> String {
    format!("[table]\nplatforms = [{list}]\n")
}

/// Sessions of these platforms.
pub fn insert(db: &Db, platforms: &[&str]) {
    for platform in platforms {
        let sql = "insert into public.user_sessions (user_id, session_id, platform) values ($1::text::uuid, gen_random_uuid()::text, $2)";
        let user = "00000000-0000-4000-8000-000000000001";
        let mut client = db.admin();
        client
            .execute(
                "insert into auth.users (id) values ($1::text::uuid) on conflict do nothing",
                &[&user],
            )
            .unwrap();
        client.execute(sql, &[&user, platform]).unwrap();
    }
}

fn replace_check(db: &Db, sql: &str) {
    db.client()
        .batch_execute(&format!(
            "alter table public.user_sessions drop constraint user_sessions_platform_check; {sql}"
        ))
        .unwrap();
}

fn check(db: &Db) -> String {
    let sql = "select pg_get_constraintdef(oid) from pg_constraint where conname = 'user_sessions_platform_check'";
    db.client().query_one(sql, &[]).unwrap().get(0)
}

#[test]
fn a_project_with_android_is_pasted_adopted_declared_and_changed() {
    for grants in BOTH_GENERATIONS {
        let db = Db::pasted(grants);
        replace_check(
            &db,
            &format!(
                "alter table public.user_sessions add constraint user_sessions_platform_check check (platform in ({SCRIPT}, 'android', 'tv'))"
            ),
        );
        insert(&db, &["web", "android", "android"]);
        let before = check(&db);

        // Adopted: the list stands, and is a note.
        let run = db.sessctl(&["migrate"]).ok();
        assert!(!run.stderr.contains("platform_check"), "{}", run.stderr);
        assert_eq!(check(&db), before);
        let said = "extra    constraint user_sessions_platform_check: extra values: android, tv";
        db.sessctl(&["verify"]).ok().says(said);
        db.sessctl(&["verify", "--strict"])
            .exits(1)
            .says("name all values in sessctl.toml, then run sessctl migrate");
        db.sessctl(&["migrate"]).ok().says("nothing to do");

        // Declared: it is as it should be, for a machine without the file too.
        let machine = Machine::with(&platforms(&format!("{SCRIPT}, 'android', 'tv'")));
        machine
            .run(&db, &["migrate"])
            .ok()
            .says("the declared platforms are applied");
        machine.run(&db, &["migrate"]).ok().says("nothing to do");
        assert_eq!(check(&db), before);
        machine.run(&db, &["verify", "--strict"]).ok();
        db.sessctl(&["verify", "--strict"]).ok();
        db.sessctl(&["migrate"]).ok().says("nothing to do");

        // A value that sessions have can't be removed.
        machine.says(&platforms(&format!("{SCRIPT}, 'tv'")));
        let facts_before = facts(&db);
        for arguments in [&["migrate"][..], &["migrate", "--yes"], &["migrate", "--dry-run"]] {
            machine
                .run(&db, arguments)
                .exits(3)
                .says("2 sessions are of a platform that the declared platforms lack: android (2)")
                .says("the list was not changed");
        }
        machine.run(&db, &["verify"]).ok().says("run sessctl migrate");
        machine.run(&db, &["verify", "--strict"]).exits(1);
        machine
            .run(&db, &["doctor"])
            .ok()
            .says("sessctl.toml declares other lists than are in force");
        assert!(facts(&db) == facts_before);

        // One that no session has is removed by --yes alone.
        machine.says(&platforms(&format!("{SCRIPT}, 'android'")));
        machine.run(&db, &["migrate"]).exits(3).says("removes tv").says("--yes");
        assert!(facts(&db) == facts_before);
        machine
            .run(&db, &["migrate", "--yes"])
            .ok()
            .says("replaces constraint user_sessions_platform_check: removes tv");
        machine.run(&db, &["verify", "--strict"]).ok();
        db.sessctl(&["verify", "--strict"]).ok();
        assert_eq!(check(&db), before.replace(", 'tv'::text", ""));
    }
}

#[test]
fn a_fresh_table_has_the_declared_lists() {
    let db = Db::fresh(Grants::Closed);
    let machine = Machine::with("[table]\nplatforms = ['web']\nend-reasons = ['timeout', 'replaced']\n");
    machine.run(&db, &["migrate"]).ok();
    machine.run(&db, &["verify", "--strict"]).ok();
    db.sessctl(&["verify", "--strict"]).ok();
    insert(&db, &["web"]);
    for (column, value, fits) in [
        ("platform", "web", true),
        ("platform", "ios-external", false),
        ("end_reason", "replaced", true),
        ("end_reason", "crash", false),
    ] {
        let changed = db
            .client()
            .execute(&format!("update public.user_sessions set {column} = '{value}'"), &[]);
        assert_eq!(changed.is_ok(), fits, "{column} {value}");
    }
    db.client()
        .batch_execute("update public.user_sessions set last_heartbeat_at = '2000-01-01'")
        .unwrap();
    db.sessctl(&["end-inactive"]).ok().says("ended 1 ");
}

#[test]
fn a_flag_declares_the_platforms_for_one_call() {
    let db = Db::migrated(Grants::Open);
    let list = format!("{},android", SCRIPT.replace(['\'', ' '], ""));
    db.sessctl(&["migrate", "--platforms", &list]).ok().says("adds android");
    insert(&db, &["android"]);
    db.sessctl(&["verify", "--strict"]).ok();
    db.sessctl(&["migrate", "--platforms", "web,"])
        .exits(2)
        .says("has an empty text");
    db.sessctl(&["migrate", "--platforms", "web"])
        .exits(3)
        .says("android (1)");
}

#[test]
fn whatever_a_value_is_it_is_read_again_as_it_was_written() {
    let db = Db::fresh(Grants::Closed);
    let values = r#""it's", 'back\slash', "$$", "{a,\"b\"}", "a', 'b", "Ünïcode 🙂", ":name", "%s""#;
    let machine = Machine::with(&platforms(values));
    machine.run(&db, &["migrate"]).ok();
    machine.run(&db, &["verify", "--strict"]).ok();
    machine.run(&db, &["migrate"]).ok().says("nothing to do");
    insert(
        &db,
        &[
            "it's",
            r"back\slash",
            "$$",
            r#"{a,"b"}"#,
            "a', 'b",
            "Ünïcode 🙂",
            ":name",
            "%s",
        ],
    );
    machine.says(&platforms(&format!("{values}, 'one more'")));
    machine.run(&db, &["migrate"]).ok().says("adds one more");
    machine.run(&db, &["verify", "--strict"]).ok();
    insert(&db, &["one more"]);
}

#[test]
fn a_list_is_read_in_each_form_that_the_server_prints() {
    for (sql, drifts) in [
        ("check (platform = 'web')", false),
        ("check (platform = any (array['web', 'tv']))", false),
        ("check (platform::varchar in ('web', 'tv'))", false),
        ("check (platform = any (array['web'::varchar, 'tv']))", false),
        ("check (platform = 'web' or platform = 'tv')", true),
        ("check (platform <> '')", true),
        ("check (platform = any ('{web,tv}'))", true),
        ("check (platform = any (array['web', 'tv']) and platform <> 'tv')", true),
        ("check (platform = any (array['web', 'tv'])) no inherit", true),
        ("check (platform = any (array['web', 'tv']) or user_id is null)", true),
        ("unique (platform)", true),
    ] {
        let db = Db::migrated(Grants::Closed);
        replace_check(
            &db,
            &format!("alter table public.user_sessions add constraint user_sessions_platform_check {sql}"),
        );
        let before = check(&db);
        let machine = Machine::with(&platforms(&format!("{SCRIPT}, 'tv'")));
        if drifts {
            // It is kept, and is drift; a declared list does not take its place.
            db.client().batch_execute("drop table sessctl.schema_history").unwrap();
            db.sessctl(&["migrate"]).ok();
            db.sessctl(&["verify"])
                .exits(1)
                .says("constraint user_sessions_platform_check: definition is");
            machine
                .run(&db, &["migrate"])
                .exits(3)
                .says("is no list of texts")
                .says(" drop constraint ");
            assert_eq!(check(&db), before, "{sql}");
            replace_check(&db, "");
        }
        machine.run(&db, &["migrate", "--yes"]).ok();
        machine.run(&db, &["verify", "--strict"]).ok();
        insert(&db, &["tv", "ios-widget"]);
    }
}

#[test]
fn a_list_that_lacks_a_value_of_the_script_is_drift_until_it_is_declared() {
    let db = Db::migrated(Grants::Closed);
    replace_check(
        &db,
        "alter table public.user_sessions add constraint user_sessions_platform_check check (platform in ('web', 'tv'))",
    );
    db.sessctl(&["verify"])
        .exits(1)
        .says("constraint user_sessions_platform_check: definition is");
    db.sessctl(&["migrate"]).ok().says("nothing to do");
    let machine = Machine::with(&platforms("'tv', 'web'"));
    machine.run(&db, &["migrate"]).ok();
    db.sessctl(&["verify", "--strict"]).ok();
}

#[test]
fn what_was_declared_and_was_changed_by_hand_is_drift() {
    let db = Db::fresh(Grants::Closed);
    let machine = Machine::with(&platforms("'web', 'tv'"));
    machine.run(&db, &["migrate"]).ok();
    for list in ["'web'", "'web', 'tv', 'android'"] {
        replace_check(
            &db,
            &format!(
                "alter table public.user_sessions add constraint user_sessions_platform_check check (platform in ({list}))"
            ),
        );
        db.sessctl(&["verify"])
            .exits(1)
            .says("constraint user_sessions_platform_check: definition is");
        machine.run(&db, &["migrate", "--yes"]).ok();
        db.sessctl(&["verify", "--strict"]).ok();
    }
}

#[test]
fn a_missing_check_is_drift_and_gets_the_declared_list() {
    // Before it is migrated, with rows that the script's list lacks.
    let db = Db::pasted(Grants::Open);
    replace_check(&db, "");
    insert(&db, &["android"]);
    let machine = Machine::with(&platforms("'web'"));
    machine
        .run(&db, &["migrate"])
        .exits(3)
        .says("1 session is of a platform")
        .says("android (1)");
    machine.says(&platforms("'web', 'android'"));
    machine.run(&db, &["migrate"]).exits(3).says("--yes");
    machine.run(&db, &["migrate", "--yes"]).ok();
    machine.run(&db, &["verify", "--strict"]).ok();
    // After it.
    replace_check(&db, "");
    db.sessctl(&["verify"])
        .exits(1)
        .says("constraint user_sessions_platform_check is missing");
    machine.run(&db, &["migrate"]).exits(3).says("--yes");
    machine
        .run(&db, &["migrate", "--yes"])
        .ok()
        .says("adds constraint user_sessions_platform_check");
    machine.run(&db, &["verify", "--strict"]).ok();
}

#[test]
fn a_list_under_another_name_gets_ours_and_another_check_is_left_alone() {
    let db = Db::pasted(Grants::Closed);
    replace_check(
        &db,
        &format!(
            "alter table public.user_sessions add constraint a_rule check (platform <> ''), add constraint kinds check (platform in ({SCRIPT}, 'tv'))"
        ),
    );
    db.sessctl(&["migrate"]).ok();
    db.sessctl(&["verify"])
        .ok()
        .says("extra values: tv")
        .says("constraint a_rule is extra");
    assert!(check(&db).contains("'tv'"));
    // Where there is none but that, none is made.
    let db = Db::pasted(Grants::Closed);
    replace_check(
        &db,
        "alter table public.user_sessions add constraint a_rule check (platform <> '')",
    );
    insert(&db, &["tv"]);
    db.sessctl(&["migrate"]).ok();
    db.sessctl(&["verify"])
        .exits(1)
        .says("constraint user_sessions_platform_check is missing");
}

#[test]
fn a_crash_after_any_step_is_made_good_by_the_next_migrate() {
    let new = format!("add constraint user_sessions_platform_check_new check (platform = any (array[{SCRIPT}, 'tv']))");
    for left in [
        &*format!("alter table public.user_sessions {new} not valid"),
        &format!("alter table public.user_sessions {new}"),
        "alter table public.user_sessions add constraint user_sessions_platform_check_new check (platform = 'web') not valid",
        "alter table public.user_sessions add constraint user_sessions_platform_check_new check (platform <> '')",
        "alter table public.user_sessions drop constraint user_sessions_platform_check",
        &format!("alter table public.user_sessions drop constraint user_sessions_platform_check, {new} not valid"),
        &format!(
            "alter table public.user_sessions drop constraint user_sessions_platform_check,
             add constraint user_sessions_platform_check check (platform = any (array[{SCRIPT}, 'tv'])) not valid"
        ),
        &format!(
            "alter table public.user_sessions drop constraint user_sessions_platform_check, {new};
             alter table public.user_sessions rename constraint user_sessions_platform_check_new to user_sessions_platform_check"
        ),
        // As a declaration that was applied, but for what it left.
        &format!(
            "insert into sessctl.declared values ('platforms', array[{SCRIPT}, 'tv']);
             alter table public.user_sessions {new}"
        ),
    ] {
        let db = Db::migrated(Grants::Closed);
        db.client().batch_execute(left).unwrap();
        let machine = Machine::with(&platforms(&format!("{SCRIPT}, 'tv'")));
        // Only where nothing is left of a CHECK is it one that clients do not know.
        let is_new = left.contains("drop constraint") && !left.contains("add constraint");
        let run = machine.run(&db, &["migrate"]).exits(if is_new { 3 } else { 0 });
        if is_new {
            run.says("adds constraint user_sessions_platform_check").says("--yes");
            machine.run(&db, &["migrate", "--yes"]).ok();
        }
        let run = machine.run(&db, &["verify", "--strict"]);
        assert_eq!(run.code, 0, "{left}: {}", run.stdout);
    }
}

#[test]
fn many_machines_at_once_apply_a_list_once_and_those_without_a_file_change_nothing() {
    let db = Db::migrated(Grants::Closed);
    insert(&db, &["web"]);
    let machine = Machine::with(&platforms(&format!("{SCRIPT}, 'tv'")));
    thread::scope(|scope| {
        for number in 0..6 {
            let (db, machine) = (&db, &machine);
            scope.spawn(move || {
                if number % 3 == 0 {
                    db.sessctl(&["migrate"]).ok();
                } else {
                    machine.run(db, &["migrate"]).ok();
                }
            });
        }
    });
    machine.run(&db, &["verify", "--strict"]).ok();
}

#[test]
fn lists_that_differ_on_two_machines_at_once_never_narrow_in_silence() {
    let db = Db::migrated(Grants::Closed);
    let machines = ["tv", "android", "watch"].map(|more| Machine::with(&platforms(&format!("{SCRIPT}, '{more}'"))));
    let done: BTreeSet<usize> = thread::scope(|scope| {
        let runs: Vec<_> = (0..6)
            .map(|number| {
                let (db, machine) = (&db, &machines[number % 3]);
                scope.spawn(move || (number % 3, machine.run(db, &["migrate"])))
            })
            .collect();
        let runs = runs.into_iter().map(|run| run.join().unwrap());
        let done = runs.filter(|(_, run)| {
            assert!(
                run.code == 0 || run.stderr.contains("which the database takes") || run.stderr.contains("--yes"),
                "{run:?}"
            );
            run.code == 0
        });
        done.map(|(machine, _)| machine).collect()
    });
    assert_eq!(done.len(), 1, "{done:?}");
    // One of them was first; the others were refused and left nothing.
    db.sessctl(&["verify", "--strict"]).ok();
    let facts = facts(&db);
    assert!(facts.keys().all(|object| !object.to_string().ends_with("_new")));
}

#[test]
fn a_table_that_is_in_use_is_tried_again_and_its_holder_named() {
    let db = Db::migrated(Grants::Closed);
    let mut holder = db.client();
    let machine = Machine::with(&platforms(&format!("{SCRIPT}, 'tv'")));
    let mut writer = holder.transaction().unwrap();
    writer
        .batch_execute("lock table public.user_sessions in row exclusive mode")
        .unwrap();
    machine
        .run(&db, &["migrate", "--lock-timeout", "1ms"])
        .exits(3)
        .says("trying again")
        .says("holds the table");
    writer.commit().unwrap();
    machine.run(&db, &["migrate"]).ok();
}

#[test]
fn end_reasons_must_have_the_one_that_maintenance_writes() {
    let db = Db::migrated(Grants::Closed);
    Machine::with("[table]\nend-reasons = ['logout', 'manual']\n")
        .run(&db, &["migrate"])
        .exits(2)
        .says("sessctl.toml:2:15: table.end-reasons must have \"timeout\"");
}

#[test]
fn sql_of_a_dry_run_applies_the_lists() {
    let machine = Machine::with(&platforms("'web', \"it's\""));
    let fresh = Db::fresh(Grants::Closed);
    let migrated = Db::migrated(Grants::Closed);
    for db in [&fresh, &migrated] {
        let before = facts(db);
        let run = machine.run(db, &["migrate", "--dry-run", "--yes"]).ok();
        assert!(facts(db) == before);
        let mut client = db.client();
        if before.len() < 10 {
            client.batch_execute("create schema sessctl").unwrap();
        }
        client.batch_execute(&run.stdout.replace(" concurrently", "")).unwrap();
        assert_eq!(
            check(db),
            "CHECK ((platform = ANY (ARRAY['web'::text, 'it''s'::text])))"
        );
        assert_eq!(
            number(
                &mut client,
                "select count(*) from sessctl.declared where list = array['web', 'it''s']"
            ),
            1
        );
    }
    machine.run(&migrated, &["verify", "--strict"]).ok();
}

#[test]
fn a_setting_that_somebody_made_is_no_declaration() {
    let db = Db::fresh(Grants::Closed);
    db.admin()
        .batch_execute(&format!(
            "alter database {} set sessctl.platforms = '[\"planted\"]'",
            db.name
        ))
        .unwrap();
    db.sessctl(&["migrate"]).ok();
    db.sessctl(&["verify", "--strict"]).ok();
}

#[test]
fn an_enum_or_a_lookup_table_in_place_of_a_check_is_refused_with_what_to_do() {
    for (sql, says) in [
        (
            "create type public.kind as enum ('web', 'tv'); drop view public.active_sessions_summary;
             alter table public.user_sessions drop constraint user_sessions_platform_check, alter column platform type public.kind using platform::public.kind",
            "column platform is of the enum type",
        ),
        (
            "create table public.reasons (reason text primary key); insert into public.reasons values ('timeout');
             alter table public.user_sessions drop constraint user_sessions_end_reason_check, add foreign key (end_reason) references public.reasons",
            "column end_reason refers to the lookup table public.reasons",
        ),
    ] {
        let db = Db::pasted(Grants::Closed);
        db.client().batch_execute(sql).unwrap();
        let before = facts(&db);
        let run = db.sessctl(&["migrate"]).exits(3).says(says).says("nothing was changed");
        assert!(facts(&db) == before);
        let hint = run.stderr.split("run: ").nth(1).unwrap();
        db.client().batch_execute(&hint[..hint.find("; then").unwrap()]).unwrap();
        db.sessctl(&["migrate", "--yes"]).ok();
        db.sessctl(&["verify"]).ok();
    }
}

#[test]
fn a_role_that_can_not_read_the_declaration_verifies_without_it() {
    let db = Db::migrated(Grants::Closed);
    Machine::with(&platforms(&format!("{SCRIPT}, 'tv'")))
        .run(&db, &["migrate"])
        .ok();
    let role = format!("ci_{}", db.name);
    db.admin()
        .batch_execute(&format!(
            "create role {role} login password 'ci'; grant usage on schema sessctl to {role};
             grant select on sessctl.schema_history to {role}"
        ))
        .unwrap();
    let verify = || Run::of(&mut sessctl_on(db.url_as(&role, "ci"), &["verify"]));
    verify().ok().says("extra values: tv");
    db.admin()
        .batch_execute(&format!("grant select on sessctl.declared to {role}"))
        .unwrap();
    assert!(!verify().ok().stdout.contains("extra values"));
    db.admin()
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .unwrap();
}

#[test]
fn a_list_that_was_not_validated_is_validated_when_the_table_is_adopted() {
    let db = Db::pasted(Grants::Closed);
    replace_check(
        &db,
        &format!(
            "alter table public.user_sessions add constraint user_sessions_platform_check check (platform in ({SCRIPT})) not valid"
        ),
    );
    db.sessctl(&["migrate"])
        .ok()
        .says("validates constraint user_sessions_platform_check");
    db.sessctl(&["verify", "--strict"]).ok();
}

#[test]
fn a_declaration_that_somebody_altered_is_drift_and_no_error() {
    let machine = Machine::with(&platforms(&format!("{SCRIPT}, 'tv'")));
    for (sql, repair) in [
        (
            "alter table sessctl.declared drop column list",
            "drop table sessctl.declared, sessctl.schema_history",
        ),
        (
            "alter table sessctl.declared alter column list type text",
            "drop table sessctl.declared, sessctl.schema_history",
        ),
        ("drop table sessctl.declared", "drop table sessctl.schema_history"),
    ] {
        let db = Db::migrated(Grants::Closed);
        machine.run(&db, &["migrate"]).ok();
        db.client().batch_execute(sql).unwrap();
        db.sessctl(&["verify"]).exits(1).says("sessctl.declared");
        db.client().batch_execute(repair).unwrap();
        machine.run(&db, &["migrate"]).ok();
        machine.run(&db, &["verify", "--strict"]).ok();
    }
    let db = Db::migrated(Grants::Closed);
    db.client()
        .batch_execute("insert into sessctl.declared values ('platforms', '{web,null}'), ('other', '{}')")
        .unwrap();
    db.sessctl(&["verify", "--strict"]).ok();
    machine.run(&db, &["migrate"]).ok();
    machine.run(&db, &["verify", "--strict"]).ok();
}
