//! Who may do what, seen through the API's roles on both generations of grants.

use postgres::Client;
use postgres::error::SqlState;

use crate::common::{BOTH_GENERATIONS, Db, number};

const ALICE: &str = "00000000-0000-4000-8000-00000000000a";
const BOB: &str = "00000000-0000-4000-8000-00000000000b";

fn with_users(db: &Db) -> Client {
    let mut client = db.client();
    client
        .batch_execute(&format!(
            "insert into auth.users (id) values ('{ALICE}'), ('{BOB}');
             insert into public.user_sessions (user_id, session_id, platform) values
               ('{ALICE}', 'alice-1', 'web'), ('{BOB}', 'bob-1', 'ios-external'), ('{BOB}', 'bob-2', 'web');"
        ))
        .unwrap();
    client
}

#[track_caller]
fn denied(client: &mut Client, sql: &str) {
    let error = client.batch_execute(sql).expect_err(sql);
    assert_eq!(
        error.code(),
        Some(&SqlState::INSUFFICIENT_PRIVILEGE),
        "{sql}: {error:?}"
    );
}

#[test]
fn both_generations_of_grants_end_in_the_same_rights() {
    let rights = "select string_agg(format('%s %s %s %s', o, grantee::regrole, privilege_type, is_grantable), E'\\n' order by o, grantee::regrole::text, privilege_type)
        from (
          select c.relname::text as o, relacl as acl, relowner as owner from pg_class c where relname in ('user_sessions', 'active_sessions_summary')
          union all
          select p.proname, proacl, proowner from pg_proc p where pronamespace in ('public'::regnamespace, 'sessctl'::regnamespace)
        ) as objects, aclexplode(acl) where grantee <> owner";
    let [open, closed] = BOTH_GENERATIONS.map(|grants| {
        Db::migrated(grants)
            .client()
            .query_one(rights, &[])
            .unwrap()
            .get::<_, String>(0)
    });
    assert_eq!(open, closed);
    assert!(open.contains("user_sessions authenticated INSERT f"), "{open}");
    assert!(!open.contains(" anon "), "{open}");
    assert!(!open.contains("TRUNCATE"), "{open}");
}

#[test]
fn a_user_starts_reads_and_ends_a_session_of_their_own_on_both_generations() {
    for grants in BOTH_GENERATIONS {
        let db = Db::migrated(grants);
        with_users(&db);
        let mut alice = db.api("authenticated", Some(ALICE));
        let inserted = "insert into public.user_sessions (user_id, session_id, platform) values ($1::text::uuid, 'mine', 'web') returning id";
        alice.query_one(inserted, &[&ALICE]).unwrap();
        assert_eq!(number(&mut alice, "select count(*) from public.user_sessions"), 2);
        let heartbeat = "update public.user_sessions set last_heartbeat_at = now() where session_id = 'mine'";
        assert_eq!(alice.execute(heartbeat, &[]).unwrap(), 1);
        let end = "update public.user_sessions set status = 'ended', end_reason = 'logout', ended_at = now() where session_id = 'mine'";
        assert_eq!(alice.execute(end, &[]).unwrap(), 1);
    }
}

#[test]
fn a_user_neither_sees_nor_touches_the_sessions_of_others() {
    for grants in BOTH_GENERATIONS {
        let db = Db::migrated(grants);
        with_users(&db);
        let mut alice = db.api("authenticated", Some(ALICE));
        assert_eq!(
            number(
                &mut alice,
                "select count(*) from public.user_sessions where user_id <> auth.uid()"
            ),
            0
        );
        assert_eq!(
            alice
                .execute(
                    "update public.user_sessions set platform = 'web' where session_id like 'bob%'",
                    &[]
                )
                .unwrap(),
            0
        );
        denied(
            &mut alice,
            &format!(
                "insert into public.user_sessions (user_id, session_id, platform) values ('{BOB}', 'forged', 'web')"
            ),
        );
        denied(
            &mut alice,
            &format!("update public.user_sessions set user_id = '{BOB}'"),
        );
        denied(&mut alice, "delete from public.user_sessions");
        denied(&mut alice, "truncate public.user_sessions");
    }
}

#[test]
fn the_summary_shows_each_user_only_their_own_and_service_role_all() {
    for grants in BOTH_GENERATIONS {
        let db = Db::migrated(grants);
        with_users(&db);
        let total = "select coalesce(sum(active_count), 0)::bigint from public.active_sessions_summary";
        assert_eq!(number(&mut db.api("authenticated", Some(ALICE)), total), 1);
        assert_eq!(number(&mut db.api("authenticated", Some(BOB)), total), 2);
        assert_eq!(number(&mut db.api("service_role", None), total), 3);
    }
}

#[test]
fn anon_can_do_nothing() {
    for grants in BOTH_GENERATIONS {
        let db = Db::migrated(grants);
        with_users(&db);
        let mut anon = db.api("anon", None);
        for sql in [
            "select from public.user_sessions",
            "select from public.active_sessions_summary",
            "insert into public.user_sessions default values",
            "update public.user_sessions set status = 'ended'",
            "delete from public.user_sessions",
            "truncate public.user_sessions",
            "select public.end_inactive_sessions()",
            "select public.cleanup_old_sessions()",
            "select public.calculate_session_duration(now())",
            "select from sessctl.schema_history",
        ] {
            denied(&mut anon, sql);
        }
    }
}

#[test]
fn a_user_can_not_call_maintenance_and_service_role_can() {
    for grants in BOTH_GENERATIONS {
        let db = Db::migrated(grants);
        with_users(&db);
        let mut alice = db.api("authenticated", Some(ALICE));
        for sql in [
            "select public.end_inactive_sessions(1)",
            "select public.cleanup_old_sessions(1)",
            "select sessctl.end_inactive(1)",
            "select from sessctl.session_last_seen",
            "select from sessctl.schema_history",
        ] {
            denied(&mut alice, sql);
        }
        alice
            .batch_execute("select public.calculate_session_duration(now(), now())")
            .unwrap();

        let mut owner = db.client();
        owner.batch_execute("update public.user_sessions set last_heartbeat_at = now() - interval '2 hours' where session_id like 'bob%'").unwrap();
        let mut service = db.api("service_role", None);
        let ended: i32 = service
            .query_one("select public.end_inactive_sessions()", &[])
            .unwrap()
            .get(0);
        assert_eq!(ended, 2);
        owner
            .batch_execute(
                "update public.user_sessions set started_at = '2020-01-01', ended_at = now() - interval '91 days' where session_id like 'bob%'",
            )
            .unwrap();
        let deleted: i32 = service
            .query_one("select public.cleanup_old_sessions()", &[])
            .unwrap()
            .get(0);
        assert_eq!(deleted, 2);
        denied(&mut service, "select from sessctl.schema_history");
        denied(&mut service, "truncate public.user_sessions");
    }
}

#[test]
fn a_role_under_row_level_security_is_told_instead_of_sweeping_nothing() {
    let db = Db::migrated(BOTH_GENERATIONS[1]);
    let mut admin = db.admin();
    let role = format!("limited_{}", db.name);
    admin
        .batch_execute(&format!(
            "create role {role} login password 'limited' in role service_role inherit;
             grant service_role to {role};"
        ))
        .unwrap();
    let url = db.url_as(&role, "limited");
    for arguments in [
        ["end-inactive", "--dry-run"],
        ["cleanup", "--dry-run"],
        ["end-inactive", "--quiet"],
        ["cleanup", "--quiet"],
    ] {
        crate::common::Run::of(crate::common::sessctl().env("DATABASE_URL", &url).args(arguments))
            .exits(3)
            .says("row level security applies to it");
    }
    drop(db);
    crate::common::admin("postgres")
        .batch_execute(&format!("drop role {role}"))
        .unwrap();
}

#[test]
fn the_tables_of_a_fresh_migration_are_never_readable_without_row_level_security() {
    let db = Db::fresh(sessctl::sandbox::Grants::Open);
    db.sessctl(&["migrate", "--target", "1"]).ok();
    with_users(&db);
    // The grants of an open project are there; the policies are not yet.
    assert_eq!(
        number(&mut db.api("anon", None), "select count(*) from public.user_sessions"),
        0
    );
    assert_eq!(
        number(
            &mut db.api("authenticated", Some(ALICE)),
            "select count(*) from public.user_sessions"
        ),
        0
    );
}

/// Objects that a role with CREATE on public plants, so that a superuser's tools run them.
const TRAPS: &str = "
    create table public.sprung (name text);
    grant insert on public.sprung to public;
    create function public.spring(name text) returns void language sql as 'insert into public.sprung values (name)';
    create function public.json_build_object(text, integer, text, json) returns json language plpgsql as $$ begin perform public.spring('history'); return pg_catalog.json_build_object($1, $2, $3, $4); end $$;
    create function public.json_build_object(text, text, text, boolean) returns json language plpgsql as $$ begin perform public.spring('look'); return pg_catalog.json_build_object($1, $2, $3, $4); end $$;
    create function public.to_json(boolean) returns json language plpgsql as $$ begin perform public.spring('lock'); return pg_catalog.to_json($1); end $$;
    create function public.to_json(bigint) returns json language plpgsql as $$ begin perform public.spring('count'); return pg_catalog.to_json($1); end $$;
    create function public.opeq(oid, regclass) returns boolean language plpgsql as $$ begin perform public.spring('operator'); return pg_catalog.oideq($1, $2); end $$;
    create operator public.= (leftarg = oid, rightarg = regclass, function = public.opeq);
";

#[test]
fn functions_and_operators_planted_in_public_are_never_run() {
    let db = Db::pasted(BOTH_GENERATIONS[0]);
    db.admin().batch_execute(TRAPS).unwrap();
    for arguments in [
        &["status"][..],
        &["migrate", "--dry-run"],
        &["migrate"],
        &["verify"],
        &["summary"],
        &["end-inactive", "--dry-run"],
        &["end-inactive"],
        &["cleanup"],
        &["doctor"],
    ] {
        db.sessctl(arguments).ok();
        assert_eq!(
            number(&mut db.client(), "select count(*) from public.sprung"),
            0,
            "{arguments:?}"
        );
    }
}

#[test]
fn a_trigger_whose_function_is_somebody_elses_stops_the_migration() {
    let db = Db::pasted(BOTH_GENERATIONS[1]);
    let mut attacker = db.api("authenticated", Some(ALICE));
    attacker
        .batch_execute(
            "create function pg_temp.trap() returns trigger language plpgsql as 'begin return new; end';
             create trigger trap before update on public.user_sessions for each row execute function pg_temp.trap();",
        )
        .unwrap();
    db.sessctl(&["migrate"])
        .exits(3)
        .says("belong to somebody else than the table: trap")
        .says("nothing was changed");
    drop(attacker);
    db.client()
        .batch_execute("drop trigger if exists trap on public.user_sessions")
        .unwrap();
    db.sessctl(&["migrate"]).ok();
}

#[test]
fn a_row_that_somebody_holds_keeps_nobody_elses_from_being_done() {
    let db = Db::migrated(BOTH_GENERATIONS[1]);
    let mut owner = with_users(&db);
    owner
        .batch_execute("update public.user_sessions set last_heartbeat_at = now() - interval '2 hours'")
        .unwrap();
    let mut alice = db.api("authenticated", Some(ALICE));
    let mut held = alice.transaction().unwrap();
    held.batch_execute("update public.user_sessions set activity_count = 1")
        .unwrap();
    assert_eq!(
        db.sessctl(&["end-inactive", "--format", "json"]).ok().json()["ended"],
        2
    );
    held.rollback().unwrap();
    assert_eq!(
        db.sessctl(&["end-inactive", "--format", "json"]).ok().json()["ended"],
        1
    );
    owner
        .batch_execute(
            "update public.user_sessions set started_at = '2020-01-01', ended_at = now() - interval '100 days'",
        )
        .unwrap();
    let mut held = alice.transaction().unwrap();
    held.batch_execute("update public.user_sessions set activity_count = 1")
        .unwrap();
    assert_eq!(db.sessctl(&["cleanup", "--format", "json"]).ok().json()["deleted"], 2);
    held.rollback().unwrap();
    let mut service = db.api("service_role", None);
    assert_eq!(
        service
            .query_one("select public.cleanup_old_sessions()", &[])
            .unwrap()
            .get::<_, i32>(0),
        1
    );
}

/// The statements on the security page.
fn statements_of_the_security_page() -> &'static str {
    let page = include_str!("../.github/SECURITY.md");
    page.split("```sql\n").nth(1).unwrap().split("```").next().unwrap()
}

#[test]
fn the_statements_of_the_security_page_keep_users_from_writing_the_times_that_decide_about_deletion() {
    for grants in BOTH_GENERATIONS {
        let db = Db::migrated(grants);
        with_users(&db);
        db.client().batch_execute(statements_of_the_security_page()).unwrap();
        let mut alice = db.api("authenticated", Some(ALICE));
        let insert = |columns: &str, values: &str| {
            format!(
                "insert into public.user_sessions (user_id, session_id, platform{columns}) values ('{ALICE}', 'mine', 'web'{values})"
            )
        };
        for column in ["started_at", "ended_at", "created_at", "updated_at"] {
            let update = format!("update public.user_sessions set {column} = '2020-01-01'");
            for sql in [update, insert(&format!(", {column}"), ", '2020-01-01'")] {
                denied(&mut alice, &sql);
            }
        }
        let sql = [
            &insert(", last_heartbeat_at", ", now()"),
            "update public.user_sessions set last_heartbeat_at = now() where session_id = 'mine'",
            "update public.user_sessions set status = 'ended', end_reason = 'logout' where session_id = 'mine'",
        ];
        alice.batch_execute(&sql.join(";")).unwrap();
        db.sessctl(&["end-inactive"]).ok();
        let ended = "select count(*) from public.user_sessions
            where session_id = 'mine' and ended_at between now() - interval '1 minute' and now() and end_reason = 'logout'";
        assert_eq!(number(&mut db.client(), ended), 1);
        db.sessctl(&["verify"])
            .exits(1)
            .says("table public.user_sessions: grant update to authenticated is absent");
    }
}
