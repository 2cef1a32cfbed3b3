//! `sessctl migrate` on fresh databases, on ones that can't be migrated, many at once, and killed half-way.

use std::fs;
use std::process::Child;
use std::thread;
use std::time::Duration;

use sessctl::sandbox::Grants;

use crate::common::running::Running;
use crate::common::{BOTH_GENERATIONS, Db, Run, clean, is_thorough, not_run, server, sessctl};

pub fn latest() -> i32 {
    sessctl::migrations::all().last().unwrap().version()
}

/// Versions in the history, ascending.
fn history(db: &Db) -> Vec<i32> {
    let rows = db
        .client()
        .query("select version from sessctl.schema_history order by version", &[])
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[track_caller]
fn in_step(db: &Db) {
    db.sessctl(&["verify"]).ok().says("up to date");
    assert_eq!(history(db), (1..=latest()).collect::<Vec<_>>());
}

#[test]
fn migrate_applies_each_version_once_and_then_has_nothing_to_do() {
    for grants in BOTH_GENERATIONS {
        let db = Db::fresh(grants);
        let first = db.sessctl(&["migrate", "--format", "json"]).ok();
        assert_eq!(first.json()["version"], latest());
        assert_eq!(first.json()["applied"].as_array().unwrap().len(), latest() as usize);
        assert_eq!(
            first.json()["applied"][0],
            serde_json::json!({ "version": 1, "name": "create_user_sessions" })
        );
        assert!(first.stderr.contains(&format!(
            "migrate on postgres@127.0.0.1:{}/{}",
            server().port(),
            db.name
        )));
        let second = db.sessctl(&["migrate"]).ok().says("nothing to do");
        assert!(!second.stderr.contains("applied"));
        in_step(&db);
    }
}

#[test]
fn migrate_stops_at_the_target_and_goes_on_later() {
    let db = Db::fresh(Grants::Closed);
    let run = db.sessctl(&["migrate", "--target", "3", "--format", "json"]).ok();
    assert_eq!(run.json()["version"], 3);
    assert_eq!(history(&db), [1, 2, 3]);
    db.sessctl(&["verify"]).exits(1).says("pending");
    db.sessctl(&["migrate"]).ok();
    in_step(&db);
}

#[test]
fn a_dry_run_prints_the_pending_sql_and_changes_nothing() {
    let db = Db::fresh(Grants::Open);
    db.sessctl(&["migrate", "--dry-run"])
        .ok()
        .says("create table if not exists public.user_sessions");
    let json = db.sessctl(&["migrate", "--dry-run", "--format", "json"]).ok().json();
    assert_eq!(json["pending"].as_array().unwrap().len(), latest() as usize);
    let made = "select count(*) from pg_class where relname in ('user_sessions', 'schema_history') or relnamespace = (select oid from pg_namespace where nspname = 'sessctl')";
    assert_eq!(db.client().query_one(made, &[]).unwrap().get::<_, i64>(0), 0);
    db.sessctl(&["migrate"]).ok();
    db.sessctl(&["migrate", "--dry-run"]).ok().says("nothing to do");
}

/// Whether psql is there, as it is wherever a server's packages are.
fn has_psql() -> bool {
    let found = clean("psql").arg("--version").output().is_ok();
    if !found {
        not_run("what migrate --dry-run prints, without psql");
    }
    found
}

/// Runs a script as a person does: a statement at a time, to the first error.
#[track_caller]
fn psql(db: &Db, script: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script.sql");
    fs::write(&file, script).unwrap();
    let mut psql = clean("psql");
    psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file"]);
    Run::of(psql.arg(file).arg(db.url())).ok();
}

#[test]
fn a_dry_runs_sql_runs_from_top_to_bottom_with_psql() {
    if !has_psql() {
        return;
    }
    for grants in BOTH_GENERATIONS {
        let filled = Db::pasted(grants);
        fill(&filled, 100);
        let behind = Db::fresh(grants);
        behind.sessctl(&["migrate", "--target", "7"]).ok();
        let copy = Db::migrated(grants);
        copy.client()
            .batch_execute("drop table sessctl.schema_history")
            .unwrap();
        for db in [Db::fresh(grants), filled, behind, copy] {
            psql(&db, &db.sessctl(&["migrate", "--dry-run"]).ok().stdout);
            db.sessctl(&["migrate"]).ok().says("nothing to do");
            db.sessctl(&["status"]).ok();
            in_step(&db);
        }
    }
}

#[test]
fn a_dry_runs_sql_applies_the_declared_lists() {
    if !has_psql() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let list = "[table]\nplatforms = ['web', \"the team's\"]\nend-reasons = ['timeout', 'replaced']\nwithout-indexes = ['idx_user_sessions_status']\n";
    fs::write(folder.path().join("sessctl.toml"), list).unwrap();
    let run = |db: &Db, arguments: &[&str]| Run::of(db.command(arguments).current_dir(folder.path())).ok();
    for db in [Db::fresh(Grants::Closed), Db::pasted(Grants::Open)] {
        psql(&db, &run(&db, &["migrate", "--dry-run", "--yes"]).stdout);
        run(&db, &["migrate"]).says("nothing to do");
        run(&db, &["verify", "--strict"]).says("up to date");
    }
}

#[test]
fn a_database_without_auth_users_is_refused_with_what_it_lacks() {
    let db = Db::fresh(Grants::Closed);
    db.admin().batch_execute("drop schema auth cascade").unwrap();
    db.sessctl(&["migrate"])
        .exits(3)
        .says("this is not a Supabase database: it lacks table auth.users, function auth.uid()")
        .says("sessctl sandbox");
}

#[test]
fn a_role_without_the_rights_is_told_which_and_who_can_give_them() {
    let db = Db::fresh(Grants::Closed);
    let role = format!("poor_{}", db.name);
    db.admin()
        .batch_execute(&format!("create role {role} login password 'poor'"))
        .unwrap();
    let url = db.url_as(&role, "poor");
    let migrate = || Run::of(sessctl().env("DATABASE_URL", &url).arg("migrate"));
    migrate()
        .exits(3)
        .says("may not create schemas in database")
        .says("grant create on database");
    db.admin()
        .batch_execute(&format!("grant create on database {} to {role}", db.name))
        .unwrap();
    migrate().exits(3).says("may not create tables in schema public");
    db.admin()
        .batch_execute(&format!(
            "grant create on schema public to {role}; grant usage on schema auth to {role}"
        ))
        .unwrap();
    migrate()
        .exits(3)
        .says("may not refer to auth.users")
        .says("grant references on auth.users");
    db.admin().batch_execute(&format!("drop owned by {role}")).unwrap();
    drop(db);
    crate::common::admin("postgres")
        .batch_execute(&format!("drop role {role}"))
        .unwrap();
}

#[test]
fn a_table_of_the_superuser_is_left_alone_with_the_statement_that_hands_it_over() {
    let db = Db::pasted(Grants::Open);
    db.admin()
        .batch_execute("alter table public.user_sessions owner to supabase_admin")
        .unwrap();
    let run = db
        .sessctl(&["migrate"])
        .exits(3)
        .says("table public.user_sessions belongs to supabase_admin");
    let statement = "alter table public.user_sessions owner to \"postgres\";";
    assert!(run.stderr.contains(statement), "{}", run.stderr);
    db.admin().batch_execute(statement).unwrap();
    db.sessctl(&["migrate"]).ok();
    in_step(&db);
}

#[test]
fn a_table_of_another_shape_is_left_alone_with_the_differences() {
    let db = Db::fresh(Grants::Closed);
    db.client()
        .batch_execute("create table public.user_sessions (id bigint primary key, user_id uuid, session_id text)")
        .unwrap();
    db.sessctl(&["migrate"])
        .exits(3)
        .says("column id is bigint instead of uuid")
        .says("column platform is missing")
        .says("nothing was changed");
    db.sessctl(&["doctor"]).exits(1).says("the table lacks columns");
    db.client()
        .batch_execute("drop table public.user_sessions; create view public.user_sessions as select 1 as one")
        .unwrap();
    db.sessctl(&["migrate"])
        .exits(3)
        .says("view public.user_sessions is there");
    let schemas = "select count(*) from pg_namespace where nspname = 'sessctl'";
    assert_eq!(db.client().query_one(schemas, &[]).unwrap().get::<_, i64>(0), 0);
}

#[test]
fn a_database_that_is_ahead_or_has_another_text_is_refused_and_shown() {
    let db = Db::migrated(Grants::Closed);
    let mut client = db.client();
    client
        .batch_execute("insert into sessctl.schema_history values (99, 'from_the_future', '2030-01-01T00:00:00Z', '1')")
        .unwrap();
    db.sessctl(&["migrate"])
        .exits(3)
        .says("the database is ahead of this sessctl: it has migration V99");
    db.sessctl(&["verify"])
        .exits(1)
        .says("V99")
        .says("a newer sessctl has been here");
    db.sessctl(&["status"]).ok().says("applied by a newer sessctl");
    client
        .batch_execute("delete from sessctl.schema_history where version = 99; update sessctl.schema_history set checksum = '7' where version = 2")
        .unwrap();
    db.sessctl(&["migrate"])
        .exits(3)
        .says("migration V2 is not the one that was applied");
    db.sessctl(&["verify"]).exits(1).says("checksum is 7");
    db.sessctl(&["status"]).ok().says("changed since it was applied");
}

#[test]
fn a_failed_migration_leaves_the_version_before_it_whole_and_shows_place_message_and_hint() {
    let db = Db::fresh(Grants::Closed);
    db.sessctl(&["migrate", "--target", "4"]).ok();
    db.client()
        .batch_execute("create view public.active_sessions_summary as select 1 as one")
        .unwrap();
    // What an event trigger refuses can't be known before.
    db.admin()
        .batch_execute(
            "create function public.refuse() returns event_trigger language plpgsql
             as $$ begin raise exception 'views stay' using hint = 'ask the keeper of views'; end $$;
             create event trigger refuse on ddl_command_start when tag in ('DROP VIEW') execute function public.refuse()",
        )
        .unwrap();
    let run = db
        .sessctl(&["migrate", "--yes"])
        .exits(3)
        .says("migration V05__view_and_grants.sql failed: views stay")
        .says("hint: ask the keeper of views");
    assert!(
        run.stderr.contains("PL/pgSQL function inline_code_block line"),
        "{}",
        run.stderr
    );
    assert_eq!(history(&db), [1, 2, 3, 4]);
    db.admin().batch_execute("drop event trigger refuse").unwrap();
    db.sessctl(&["migrate", "--yes"]).ok();
    in_step(&db);
}

#[test]
fn the_place_of_an_error_is_shown_with_a_caret() {
    let db = Db::fresh(Grants::Closed);
    db.sessctl(&["migrate", "--target", "3"]).ok();
    db.client()
        .batch_execute("alter table public.user_sessions drop column end_reason cascade")
        .unwrap();
    let mut lines = include_str!("../migrations/V04__maintenance_functions.sql").lines();
    let line = 1 + lines.position(|line| line == "  s.end_reason,").unwrap();
    let run = db.sessctl(&["migrate"]).exits(3).says(&format!(
        "migration V04__maintenance_functions.sql:{line}:3 failed: column s.end_reason does not exist"
    ));
    let margin = " ".repeat(line.to_string().len());
    assert!(
        run.stderr
            .contains(&format!("\n{line} |   s.end_reason,\n{margin} |   ^\n")),
        "{}",
        run.stderr
    );
    assert_eq!(history(&db), [1, 2, 3]);
}

#[test]
fn a_table_in_use_is_waited_for_only_so_long_and_the_blocker_is_named() {
    let db = Db::pasted(Grants::Closed);
    let mut reader = db.client();
    let mut transaction = reader.transaction().unwrap();
    let pid: i32 = transaction
        .query_one(
            "select pg_backend_pid() from public.user_sessions right join (select 1) as one on true",
            &[],
        )
        .unwrap()
        .get(0);
    db.sessctl(&["migrate", "--lock-timeout", "20ms"])
        .exits(3)
        .says("lock timeout")
        .says(&format!("process {pid} holds the table"));
    transaction.rollback().unwrap();
    db.sessctl(&["migrate"]).ok();
    in_step(&db);
}

#[test]
fn a_table_that_is_free_again_in_time_is_migrated() {
    let db = Db::pasted(Grants::Closed);
    let mut reader = db.client();
    let mut transaction = reader.transaction().unwrap();
    transaction.batch_execute("select from public.user_sessions").unwrap();
    let mut migrate = Running::start(db.command(&["migrate"]));
    migrate.wait_to_say("a table is in use, trying again");
    transaction.rollback().unwrap();
    migrate.end().ok();
    in_step(&db);
}

#[test]
fn eight_migrates_at_once_apply_each_version_once() {
    for round in 0..25 {
        let db = Db::fresh(BOTH_GENERATIONS[round % 2]);
        if round % 5 == 4 {
            db.client().batch_execute(crate::common::ORIGINAL_SCRIPT).unwrap();
            fill(&db, 500);
        }
        let runs: Vec<Run> = thread::scope(|scope| {
            let runs: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| db.sessctl(&["migrate", "--format", "json"])))
                .collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        let mut applied: Vec<i64> = Vec::new();
        for run in runs {
            let json = run.ok().json();
            assert_eq!(json["version"], latest());
            applied.extend(
                json["applied"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|m| m["version"].as_i64().unwrap()),
            );
        }
        applied.sort_unstable();
        assert_eq!(applied, (1..=i64::from(latest())).collect::<Vec<_>>(), "round {round}");
        in_step(&db);
    }
}

/// Sessions of one user, so that indexes are built concurrently.
pub fn fill(db: &Db, rows: u32) {
    db.client()
        .batch_execute(&format!(
            "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001') on conflict do nothing;
             insert into public.user_sessions (user_id, session_id, platform)
             select '00000000-0000-4000-8000-000000000001', n::text, 'web' from generate_series(1, {rows}) n"
        ))
        .unwrap();
}

/// A database with rows that lacks the last migration, which builds an index.
fn before_the_last_index() -> Db {
    let db = Db::pasted(Grants::Closed);
    fill(&db, 100);
    db.sessctl(&["migrate", "--target", "11"]).ok();
    db
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_migrate_killed_at_any_moment_is_finished_by_the_next() {
    let rounds: u64 = if is_thorough() { 200 } else { 40 };
    for round in 0..rounds {
        let db = Db::fresh(BOTH_GENERATIONS[(round % 2) as usize]);
        if round % 2 == 0 {
            db.client().batch_execute(crate::common::ORIGINAL_SCRIPT).unwrap();
            fill(&db, 2000);
        }
        let child = db.command(&["migrate", "--quiet"]).spawn().unwrap();
        thread::sleep(Duration::from_millis(round * 37 % 150));
        kill(child);
        db.sessctl(&["migrate"]).ok();
        in_step(&db);
    }
}

#[test]
fn an_index_that_a_dead_build_left_invalid_is_built_anew() {
    let db = before_the_last_index();
    let mut client = db.client();
    client
        .batch_execute(
            "create index idx_user_sessions_ended_at on public.user_sessions (ended_at) where ended_at is not null",
        )
        .unwrap();
    db.admin()
        .batch_execute(
            "update pg_index set indisvalid = false where indexrelid = 'public.idx_user_sessions_ended_at'::regclass",
        )
        .unwrap();
    db.sessctl(&["verify"]).exits(1);
    db.sessctl(&["migrate"]).ok();
    in_step(&db);
}

#[test]
fn a_concurrent_build_waits_for_an_old_transaction_and_names_it() {
    let db = before_the_last_index();
    let mut old = db.client();
    let mut transaction = old
        .build_transaction()
        .isolation_level(postgres::IsolationLevel::RepeatableRead)
        .start()
        .unwrap();
    let pid: i32 = transaction.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    // Only a transaction that is older than a second is named.
    thread::sleep(Duration::from_millis(1100));
    let named = format!("the oldest is process {pid}");
    let mut first = Running::start(db.command(&["migrate"]));
    first.wait_to_say(&named);
    let mut second = Running::start(db.command(&["migrate"]));
    second.wait_to_say(&named);
    transaction.rollback().unwrap();
    first.end().ok();
    second.end().ok();
    in_step(&db);
}

#[test]
fn a_build_that_waits_for_a_writer_who_came_just_before_names_it() {
    let db = before_the_last_index();
    let mut writer = db.client();
    let mut transaction = writer.transaction().unwrap();
    transaction
        .batch_execute("update public.user_sessions set last_heartbeat_at = now()")
        .unwrap();
    let pid: i32 = transaction.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    let mut migrate = Running::start(db.command(&["migrate"]));
    migrate.wait_to_say(&format!("the build waits for process {pid}"));
    transaction.rollback().unwrap();
    migrate.end().ok();
    in_step(&db);
}

#[test]
fn a_build_is_not_cut_off_by_the_lock_timeout_of_the_role() {
    for arguments in [&["migrate"][..], &["migrate", "--repair"]] {
        let db = before_the_last_index();
        let role = format!("alter role postgres in database {} set lock_timeout = '300ms'", db.name);
        db.admin().batch_execute(&role).unwrap();
        let mut writer = db.client();
        let mut transaction = writer.transaction().unwrap();
        transaction
            .batch_execute("update public.user_sessions set last_heartbeat_at = now()")
            .unwrap();
        let mut migrate = Running::start(db.command(arguments));
        // It is told after a second of waiting, when the limit of the role has passed.
        migrate.wait_to_say("the build waits for");
        transaction.rollback().unwrap();
        let run = migrate.end().ok();
        assert!(!run.stderr.contains("lock timeout"), "{}", run.stderr);
        in_step(&db);
    }
}

#[test]
fn a_build_cut_off_by_the_servers_time_limit_says_which_connection_to_use() {
    let db = before_the_last_index();
    let mut old = db.client();
    let mut transaction = old
        .build_transaction()
        .isolation_level(postgres::IsolationLevel::RepeatableRead)
        .start()
        .unwrap();
    transaction.batch_execute("select 1").unwrap();
    let url = format!("{}&options=-c%20statement_timeout%3D300", db.url());
    Run::of(sessctl().env("DATABASE_URL", url).arg("migrate"))
        .exits(3)
        .says("session pooler");
    transaction.rollback().unwrap();
    db.sessctl(&["migrate"]).ok();
    in_step(&db);
}
