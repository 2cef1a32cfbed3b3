//! `sessctl migrate --repair`: what drifted is put back, whatever it was, and nobody's rows or objects are touched.

use sessctl::sandbox::Grants;

use crate::common::{BOTH_GENERATIONS, Db, Run, is_thorough, number, server, sessctl_on};
use crate::snapshot::facts;
use crate::verify::changes;

/// What drift/mutations.sql has that is not sessctl's: it is left alone and named.
const OF_OTHERS: [&str; 14] = [
    "policy added",
    "function added beside ours",
    "function added to the private schema",
    "trigger added",
    "rule added",
    "inherited by a child table",
    "overload beside calculate_session_duration",
    "variadic overload",
    "rule on the view",
    "trigger on the view",
    "extra table in the private schema",
    "restrictive policy of another's, for all",
    "a column that clients do not know of and must write",
    "a column of a private table that must be written",
];

/// What the owner of schema sessctl may not alter: a superuser runs the repair.
const OF_OTHER_OWNERS: [&str; 4] = [
    "table owner",
    "function owner",
    "view owner",
    "function made a procedure",
];

/// What rewrites every row of a table that has some.
const REWRITES: [&str; 2] = ["table unlogged", "column type"];

/// What clients may depend on, so that it is put back with --yes alone.
const ASKED_ABOUT: [&str; 36] = [
    "a default of a time that clients leave to the server",
    "check dropped",
    "check no inherit",
    "check widened",
    "column default added",
    "column default changed",
    "column made generated",
    "column made identity",
    "column nullable",
    "column type",
    "foreign key dropped",
    "foreign key without cascade",
    "foreign key's cascade disabled at auth.users",
    "foreign key's triggers disabled",
    "function argument default",
    "function body changed",
    "function of another language",
    "function strict",
    "function with its owner's rights",
    "policy check open",
    "policy for another command",
    "policy for another role",
    "policy open to all rows",
    "policy restrictive",
    "policy with or true",
    "row level security off",
    "the end reason of maintenance refused",
    "trigger with a condition",
    "trigger without its condition",
    "unique deferrable",
    "unique dropped",
    "unique nulls not distinct",
    "view changed",
    "view security_barrier",
    "view security_invoker off",
    "view with its owner's rights",
];

/// Roles that belong to the whole server, or a history of a newer version: see the tests of their own.
const APART: [&str; 2] = ["everything owned by an outsider", "history ahead"];

fn count(db: &Db) -> i64 {
    number(&mut db.client(), "select count(*) from public.user_sessions")
}

/// The program as the superuser.
fn sessctl_as_admin(db: &Db, arguments: &[&str]) -> Run {
    Run::of(&mut sessctl_on(server().admin(&db.name), arguments))
}

/// The statement that the hint of a refusal names.
#[track_caller]
fn hinted(run: &Run, before: &str, after: &str) -> String {
    let hint = run.stderr.split("hint: ").nth(1).unwrap();
    let statement = hint.split(before).nth(1).and_then(|rest| rest.split(after).next());
    statement
        .unwrap_or_else(|| panic!("no {before:?} in {hint}"))
        .to_owned()
}

/// False: the database is not as it was before.
fn mutation_is_put_back(db: &Db, name: &str, sql: &str) -> bool {
    let rows = if name == "table dropped" { 0 } else { count(db) };
    if db.admin().batch_execute(sql).is_err() {
        // The rows do not fit it.
        assert!(rows > 0, "{name}");
        return true;
    }
    if OF_OTHERS.contains(&name) {
        let run = db.sessctl(&["migrate", "--repair"]).ok().says("nothing to repair");
        assert!(
            run.stderr.contains("not sessctl's, and left as it is"),
            "{name}: {run:?}"
        );
        return false;
    }
    if OF_OTHER_OWNERS.contains(&name) {
        let run = db.sessctl(&["migrate", "--repair"]).exits(3);
        assert!(run.stderr.contains("belongs to supabase_admin"), "{name}: {run:?}");
        sessctl_as_admin(db, &["migrate", "--repair", "--yes"]).ok();
    } else if rows > 0 && REWRITES.contains(&name) {
        let run = db.sessctl(&["migrate", "--repair"]).exits(3).says("every client waits");
        db.client().batch_execute(&hinted(&run, "run: ", " Then run")).unwrap();
    } else if rows > 0 && name == "column renamed" {
        let run = db
            .sessctl(&["migrate", "--repair"])
            .exits(3)
            .says("nothing was changed");
        db.client().batch_execute(&hinted(&run, "if it is: ", ";")).unwrap();
    }
    let before = facts(db);
    let mut run = db.sessctl(&["migrate", "--repair"]);
    // The statement of the hint has done the rest.
    let is_rewritten = rows > 0 && REWRITES.contains(&name);
    assert_eq!(
        run.code == 3,
        ASKED_ABOUT.contains(&name) && !is_rewritten,
        "{name}: {run:?}"
    );
    if run.code == 3 {
        let said = &run.stderr;
        assert!(
            said.contains("clients may depend on what this changes") && said.contains("--yes"),
            "{name}: {run:?}"
        );
        assert!(facts(db) == before, "{name}");
        run = db.sessctl(&["migrate", "--repair", "--yes"]);
    }
    assert_eq!(run.code, 0, "{name}: {run:?}");
    let run = db.sessctl(&["verify"]);
    assert_eq!(run.code, 0, "{name}: {run:?}");
    assert_eq!(count(db), rows, "{name}");
    name != "table dropped" && name != "column renamed"
}

/// One database for all of them, as long as each is put back. The two tests take turns, unless all is tried.
fn every_mutation_is_put_back(grants: Grants, rows: u32) {
    let mutations = changes(include_str!("drift/mutations.sql"));
    let known: Vec<&str> = mutations.iter().map(|(name, _)| *name).collect();
    let lists = [&OF_OTHERS[..], &OF_OTHER_OWNERS, &REWRITES, &APART].concat();
    assert!(lists.iter().all(|name| known.contains(name)));
    let mut current: Option<Db> = None;
    let turn = usize::from(rows == 0);
    let is_mine = |index, name| {
        is_thorough() || index % 2 == turn || rows > 0 && (REWRITES.contains(&name) || name == "column renamed")
    };
    let mine = mutations.into_iter().enumerate();
    let mine = mine.filter(|(index, (name, _))| is_mine(*index, *name) && !APART.contains(name));
    for (_, (name, sql)) in mine {
        let db = current.take().unwrap_or_else(|| {
            let db = Db::migrated(grants);
            crate::migrate::fill(&db, rows);
            db.client()
                .batch_execute("update public.user_sessions set user_agent = 'test'")
                .unwrap();
            db
        });
        if mutation_is_put_back(&db, name, sql) {
            current = Some(db);
        }
    }
}

#[test]
fn every_mutation_of_an_empty_table_on_an_open_project_is_put_back() {
    every_mutation_is_put_back(Grants::Open, 0);
}

#[test]
fn every_mutation_of_a_table_with_rows_on_a_closed_project_is_put_back() {
    every_mutation_is_put_back(Grants::Closed, 3);
}

/// Everything of sessctl's, dropped, but for the rows of the history.
const DROP_ALL: &str = "
    create temporary table kept as select * from sessctl.schema_history;
    drop schema sessctl cascade;
    drop view if exists public.active_sessions_summary;
    drop table public.user_sessions;
    drop function public.update_user_sessions_updated_at_column(), public.calculate_session_duration(timestamptz, timestamptz),
      public.cleanup_old_sessions(integer), public.end_inactive_sessions(integer);
    create schema sessctl;
    create table sessctl.schema_history as select * from kept;";

#[test]
fn the_statements_alone_make_the_whole_schema_as_the_migrations_do() {
    for grants in BOTH_GENERATIONS {
        let db = Db::migrated(grants);
        let before = facts(&db);
        db.client().batch_execute(DROP_ALL).unwrap();
        db.sessctl(&["migrate", "--repair"]).ok();
        let after = facts(&db);
        for (object, properties) in &before {
            assert_eq!(Some(properties), after.get(object), "{object}");
        }
        assert_eq!(after.len(), before.len());
        db.sessctl(&["verify", "--strict"]).ok();
        let columns = "select string_agg(attname, ',' order by attnum) from pg_attribute
            where attrelid = 'public.user_sessions'::regclass and attnum > 0";
        let of = |db: &Db| db.client().query_one(columns, &[]).unwrap().get::<_, String>(0);
        assert_eq!(of(&db), of(&Db::migrated(grants)), "columns are in another order");
    }
}

#[test]
fn the_dry_run_prints_statements_that_do_the_same() {
    let db = Db::migrated(Grants::Open);
    db.client().batch_execute(DROP_ALL).unwrap();
    let dry = db.sessctl(&["migrate", "--repair", "--dry-run"]).ok();
    db.sessctl(&["verify"]).exits(1);
    db.client().batch_execute(&dry.stdout).unwrap();
    db.sessctl(&["verify", "--strict"]).ok();
    let nothing = db.sessctl(&["migrate", "--repair", "--dry-run"]).ok();
    assert!(nothing.stdout.starts_with("-- nothing to repair"));
}

#[test]
fn a_table_that_was_moved_or_renamed_is_told_and_nothing_is_changed() {
    for (moved, back) in [
        (
            "create schema \"Old\"; alter table public.user_sessions set schema \"Old\"",
            "alter table \"Old\".user_sessions set schema public",
        ),
        (
            "alter table public.user_sessions rename to \"Sessions\"",
            "alter table public.\"Sessions\" rename to user_sessions",
        ),
    ] {
        let db = Db::migrated(Grants::Closed);
        crate::migrate::fill(&db, 3);
        db.client().batch_execute(moved).unwrap();
        db.sessctl(&["migrate"])
            .exits(3)
            .says("public.user_sessions is missing");
        for arguments in [&["migrate", "--repair"][..], &["migrate", "--repair", "--dry-run"]] {
            db.sessctl(arguments).exits(3).says(back).says("nothing was changed");
        }
        db.client().batch_execute(back).unwrap();
        db.sessctl(&["verify"]).ok();
        assert_eq!(count(&db), 3);
    }
}

#[test]
fn a_table_that_was_dropped_is_seen_by_migrate_and_made_by_the_repair() {
    let db = Db::migrated(Grants::Open);
    let mut client = db.client();
    client.batch_execute("drop table public.user_sessions cascade").unwrap();
    db.sessctl(&["migrate"]).exits(3).says("sessctl migrate --repair");
    let repair = db.sessctl(&["migrate", "--repair"]).ok();
    assert!(!repair.stderr.contains("not sessctl's"), "{}", repair.stderr);
    repair.says("creates table public.user_sessions");
    db.sessctl(&["verify", "--strict"]).ok();
}

#[test]
fn a_table_that_was_dropped_before_all_migrations_were_in_is_made_too() {
    for grants in BOTH_GENERATIONS {
        let db = Db::fresh(grants);
        db.sessctl(&["migrate", "--target", "5"]).ok();
        db.client()
            .batch_execute("drop table public.user_sessions cascade")
            .unwrap();
        db.sessctl(&["migrate"])
            .exits(3)
            .says("public.user_sessions is missing")
            .says("sessctl migrate --repair");
        db.sessctl(&["migrate", "--repair"]).ok();
        db.sessctl(&["migrate"]).ok().says("nothing to do");
        db.sessctl(&["verify", "--strict"]).ok();
    }
}

#[test]
fn views_that_follow_a_renamed_table_read_the_one_that_has_its_name() {
    let db = Db::migrated(Grants::Closed);
    db.client()
        .batch_execute(
            "alter table public.user_sessions rename to old_sessions;
             create table public.user_sessions (like public.old_sessions including all)",
        )
        .unwrap();
    db.sessctl(&["cleanup"]).exits(3).says("sessctl migrate --repair");
    db.sessctl(&["migrate", "--repair"])
        .exits(3)
        .says("of public.old_sessions is there, where sessctl keeps its index");
    db.client()
        .batch_execute("drop table public.old_sessions cascade")
        .unwrap();
    db.sessctl(&["migrate", "--repair", "--yes"]).ok();
    db.sessctl(&["verify"]).ok();
    db.sessctl(&["cleanup"]).ok();
}

#[test]
fn objects_of_a_team_that_use_what_must_be_made_again_are_named_and_stay() {
    let db = Db::migrated(Grants::Closed);
    let mut client = db.client();
    client
        .batch_execute(
            "drop view public.active_sessions_summary;
             drop function public.calculate_session_duration(timestamptz, timestamptz);
             create function public.calculate_session_duration(a timestamptz, b timestamptz) returns bigint language sql as 'select 1::bigint';
             create view public.mine as select public.calculate_session_duration(now(), now())",
        )
        .unwrap();
    db.sessctl(&["migrate", "--repair"])
        .exits(3)
        .says("must be made again, and is used by view public.mine")
        .says("nothing was changed");
    client.batch_execute("drop view public.mine").unwrap();
    db.sessctl(&["migrate", "--repair", "--yes"]).ok();
    db.sessctl(&["verify", "--strict"]).ok();
}

#[test]
fn rights_of_a_teams_roles_outlast_what_is_made_again() {
    let db = Db::migrated(Grants::Closed);
    let role = format!("reports_{}", db.name);
    let mut admin = db.admin();
    admin
        .batch_execute(&format!(
            "create role {role};
             drop view public.active_sessions_summary;
             set role postgres;
             create view public.active_sessions_summary as select platform, 1 as active_count from public.user_sessions;
             grant select on public.active_sessions_summary to {role};
             alter view public.active_sessions_summary set (security_invoker = false)"
        ))
        .unwrap();
    db.sessctl(&["migrate", "--repair", "--yes"])
        .ok()
        .says("drops view public.active_sessions_summary")
        .says(&format!(
            "grants select on view public.active_sessions_summary to {role}"
        ));
    db.sessctl(&["verify"]).ok();
    let may =
        format!("select has_table_privilege('{role}', 'public.active_sessions_summary', 'select')::integer::bigint");
    assert_eq!(number(&mut db.client(), &may), 1);
    admin
        .batch_execute(&format!("reset role; drop owned by {role}; drop role {role}"))
        .unwrap();
}

#[test]
fn rights_on_columns_and_on_a_function_of_other_arguments_outlast_a_repair() {
    let db = Db::migrated(Grants::Closed);
    let role = format!("bi {}", db.name);
    let mut admin = db.admin();
    admin
        .batch_execute(&format!(
            "create role \"{role}\"; grant usage on schema sessctl to \"{role}\"; set role postgres;
             drop view public.active_sessions_summary;
             create view public.active_sessions_summary as select platform, 1 as active_count, 2 as other from public.user_sessions;
             grant select (platform, other) on public.active_sessions_summary to \"{role}\";
             drop function sessctl.run_tidy;
             create function sessctl.run_tidy(other text) returns void language sql as '';
             grant execute on function sessctl.run_tidy(text) to \"{role}\" with grant option"
        ))
        .unwrap();
    db.sessctl(&["migrate", "--repair", "--yes"]).ok();
    db.sessctl(&["verify"]).ok();
    let kept = format!(
        "select (has_column_privilege('{role}', 'public.active_sessions_summary', 'platform', 'select')
             and not has_column_privilege('{role}', 'public.active_sessions_summary', 'active_count', 'select')
             and has_function_privilege('{role}', p.oid, 'execute with grant option'))::integer::bigint
         from pg_proc p where p.proname = 'run_tidy'"
    );
    assert_eq!(number(&mut db.client(), &kept), 1);
    admin
        .batch_execute(&format!("reset role; drop owned by \"{role}\"; drop role \"{role}\""))
        .unwrap();
}

#[test]
fn a_role_that_runs_maintenance_gets_its_rights_on_what_was_dropped() {
    for dropped in [
        "drop function sessctl.cleanup_batch(timestamptz, integer, text)",
        "drop table sessctl.run",
        "drop table public.user_sessions cascade",
        "drop function sessctl.grant_maintenance(regrole), sessctl.end_inactive(integer, integer, boolean)",
    ] {
        let db = Db::migrated(Grants::Closed);
        let (role, other) = (format!("cron_{}", db.name), format!("support_{}", db.name));
        let mut admin = db.admin();
        admin
            .batch_execute(&format!(
                "create role {role} bypassrls; create role {other}; select sessctl.grant_maintenance('{role}');
                 grant select, delete on public.user_sessions to {other}"
            ))
            .unwrap();
        let before = crate::upgrade::rights(&db, &role);
        if admin.batch_execute(dropped).is_err() {
            panic!("{dropped}");
        }
        db.sessctl(&["migrate", "--repair", "--yes"]).ok();
        assert_eq!(crate::upgrade::rights(&db, &role), before, "{dropped}");
        assert_eq!(crate::upgrade::rights(&db, &other).0, 0, "{dropped}");
        admin
            .batch_execute(&format!(
                "drop owned by {role}, {other}; drop role {role}; drop role {other}"
            ))
            .unwrap();
    }
}

#[test]
fn rows_that_do_not_fit_are_told_and_the_old_rule_stays() {
    let db = Db::migrated(Grants::Closed);
    crate::migrate::fill(&db, 3);
    let mut client = db.client();
    client
        .batch_execute(
            "alter table public.user_sessions drop constraint user_sessions_status_check;
             alter table public.user_sessions add constraint user_sessions_status_check check (status <> '');
             alter table public.user_sessions drop constraint user_sessions_session_id_key;
             alter table public.user_sessions alter column platform drop not null;
             update public.user_sessions set status = 'gone', session_id = '2', platform = null where session_id = '1'",
        )
        .unwrap();
    let left_behind = "select count(*) from (
        select relname from pg_class union all select conname from pg_constraint) as n (name) where name like '%\\_repair'";
    for (which, repaired) in [
        ("platform", "platform = 'web'"),
        ("session_id", "session_id = id::text"),
        ("status", "status = 'ended', ended_at = now()"),
    ] {
        db.sessctl(&["migrate", "--repair", "--yes"])
            .exits(3)
            .says(which)
            .says("rows do not fit");
        assert_eq!(number(&mut client, left_behind), 0, "{which}");
        let sql = "select count(*) from pg_constraint where conname = 'user_sessions_status_check'";
        assert_eq!(number(&mut client, sql), 1);
        client
            .batch_execute(&format!("update public.user_sessions set {repaired}"))
            .unwrap();
    }
    db.sessctl(&["migrate", "--repair", "--yes"]).ok();
    db.sessctl(&["verify", "--strict"]).ok();
    assert_eq!(count(&db), 3);
}

#[test]
fn a_table_in_use_does_not_stop_it_for_good() {
    let db = Db::migrated(Grants::Closed);
    crate::migrate::fill(&db, 3);
    let mut client = db.client();
    client
        .batch_execute("drop policy \"Users can view their own sessions\" on public.user_sessions")
        .unwrap();
    client
        .batch_execute("begin; lock table public.user_sessions in access share mode")
        .unwrap();
    let child = std::thread::scope(|scope| {
        let run = scope.spawn(|| db.sessctl(&["migrate", "--repair", "--lock-timeout", "20ms"]));
        db.wait_for_process("wait_event_type = 'Lock' or query ilike 'rollback%'");
        client.batch_execute("commit").unwrap();
        run.join().unwrap()
    });
    child.ok();
    db.sessctl(&["verify"]).ok();
}

#[test]
fn platforms_that_a_team_declared_are_kept_and_put_back() {
    let db = Db::migrated(Grants::Closed);
    db.sessctl(&[
        "migrate",
        "--platforms",
        "web,android,ios-external,ios-internal,ios-widget,macos-internal",
    ])
    .ok();
    let mut client = db.client();
    client
        .batch_execute("alter table public.user_sessions drop constraint user_sessions_platform_check")
        .unwrap();
    db.sessctl(&["migrate", "--repair", "--yes"]).ok();
    db.sessctl(&["verify", "--strict"]).ok();
    crate::migrate::fill(&db, 1);
    client
        .batch_execute("update public.user_sessions set platform = 'android'")
        .unwrap();
    assert!(
        client
            .batch_execute("update public.user_sessions set platform = 'amiga'")
            .is_err()
    );
    // The table too.
    client.batch_execute("drop table public.user_sessions cascade").unwrap();
    db.sessctl(&["migrate", "--repair"]).ok();
    crate::migrate::fill(&db, 1);
    client
        .batch_execute("update public.user_sessions set platform = 'android'")
        .unwrap();
}

#[test]
fn repairs_at_the_same_time_end_with_one_repair() {
    let db = Db::migrated(Grants::Open);
    crate::migrate::fill(&db, 3);
    db.client()
        .batch_execute(
            "drop index public.idx_user_sessions_status; drop function sessctl.run_tidy;
             alter table public.user_sessions drop constraint user_sessions_status_check",
        )
        .unwrap();
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| db.sessctl(&["migrate", "--repair", "--yes"])))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap().code).collect()
    });
    assert!(codes.contains(&0), "{codes:?}");
    db.sessctl(&["migrate", "--repair", "--yes"]).ok();
    db.sessctl(&["verify", "--strict"]).ok();
}

#[test]
fn rows_of_the_history_that_were_lost_or_edited_are_written_again() {
    for damage in [
        "delete from sessctl.schema_history where version = 4",
        "delete from sessctl.schema_history where version = (select max(version) from sessctl.schema_history)",
        "update sessctl.schema_history set checksum = '1', name = null where version in (3, 5)",
        "delete from sessctl.schema_history where version = 4; drop view sessctl.ended_session",
    ] {
        let db = Db::migrated(Grants::Closed);
        db.client().batch_execute(damage).unwrap();
        db.sessctl(&["verify"]).exits(1);
        db.sessctl(&["migrate", "--repair"]).ok();
        db.sessctl(&["verify", "--strict"]).ok();
        db.sessctl(&["migrate"]).ok().says("nothing to do");
    }
    let db = Db::migrated(Grants::Closed);
    db.client()
        .batch_execute("delete from sessctl.schema_history where version = 4")
        .unwrap();
    db.sessctl(&["migrate"]).exits(3).says("sessctl migrate --repair");
}
