//! What a new version's schema must leave working: the statements and jobs of earlier versions, and the rights of the roles
//! that run them.

use postgres::Client;
use postgres::types::{ToSql, Type};
use refinery::Migration;
use serde_json::Value;
use sessctl::config::Target;
use sessctl::database::Database;
use sessctl::failure::Failure;
use sessctl::migrations::{apply_with, repair_with};
use sessctl::sandbox::Grants;
use sessctl::schema::Facts;

use crate::common::{BOTH_GENERATIONS, Db, Run, block_on, clean, number, sessctl_on};
use crate::snapshot::facts;

/// Nothing but `each` sessions of each kind, of four users: active and seen, inactive, ended recently, ended long ago.
fn fill(client: &mut Client, each: u32) {
    client
        .batch_execute(&format!(
            "delete from public.user_sessions;
             insert into auth.users (id) select md5(n::text)::uuid from generate_series(0, 3) n on conflict do nothing;
             insert into public.user_sessions (user_id, session_id, platform, started_at, status, last_heartbeat_at, ended_at)
             select md5((n % 4)::text)::uuid, kind || n, 'web', now() - interval '1 year',
               case when kind in ('seen', 'inactive') then 'active' else 'ended' end,
               now() - case kind when 'seen' then interval '1 minute' when 'inactive' then interval '1 day' else interval '100 days' end,
               case kind when 'recent' then now() - interval '1 day' when 'old' then now() - interval '100 days' end
             from generate_series(1, {each}) n, unnest(array['seen', 'inactive', 'recent', 'old']) kind;
             analyze public.user_sessions"
        ))
        .unwrap();
}

fn sessions(client: &mut Client, condition: &str) -> i64 {
    number(
        client,
        &format!("select count(*) from public.user_sessions where {condition}"),
    )
}

/// A statement as the program sends it: its parameters have types, and its value is JSON.
#[track_caller]
fn ask(client: &mut Client, sql: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Value {
    let rows = client.query_typed(sql, parameters).unwrap();
    serde_json::from_str(rows[0].get(0)).unwrap()
}

/// Those of the version before the record of runs. A later version adds its own; none goes before 1.0.
mod before_the_record {
    pub const END_INACTIVE_LOOK: &str = "
        select json_build_object(
          'cutoff', c.cutoff,
          'due', cardinality(d.rows) > 0,
          'list', json_build_object('rows', array_to_string(d.rows, ' '), 'complete', cardinality(d.rows) < $4)
        )::text
        from sessctl.end_inactive_cutoff($1) as c (cutoff)
        cross join lateral sessctl.end_inactive_due(c.cutoff, $4, $2) as d (rows)";
    pub const END_INACTIVE_LIST: &str = "
        select json_build_object('rows', array_to_string(d.rows, ' '), 'complete', cardinality(d.rows) < $5)::text
        from sessctl.end_inactive_due($1::timestamptz, $5, $3, $2::tid) as d (rows)";
    pub const END_INACTIVE_BATCH: &str = "
        select json_build_object(
          'affected', b.affected, 'skipped', b.skipped, 'transaction', pg_current_xact_id_if_assigned()::text
        )::text
        from sessctl.end_inactive_batch($1::timestamptz, string_to_array($3, ' ')::tid[], $4, $5) as b";
    pub const END_INACTIVE_COUNT: &str = "
        select to_json(count(*))::text
        from sessctl.session_last_seen as s
        where s.last_seen < $1::timestamptz and (s.status = 'active' or $2 and s.status = 'idle')";
    pub const CLEANUP_LOOK: &str = "
        select json_build_object('cutoff', c.cutoff, 'due', sessctl.cleanup_is_due(c.cutoff))::text
        from sessctl.cleanup_cutoff($1) as c (cutoff)";
    pub const CLEANUP_BATCH: &str = "
        select json_build_object(
          'position', b.\"position\", 'affected', b.affected, 'finished', b.finished, 'skipped', b.skipped,
          'transaction', pg_current_xact_id_if_assigned()::text
        )::text
        from sessctl.cleanup_batch($1::timestamptz, $2, $3) as b";
    pub const CLEANUP_COUNT: &str = "
        select to_json(count(*))::text
        from sessctl.ended_session as s
        where s.ended_at < $1::timestamptz";
    pub const SUMMARY: &str = "
        select json_build_object(
          'now', now(),
          'filtered', row_security_active('public.user_sessions'),
          'platforms', (
            select coalesce(json_agg(json_build_object(
              'platform', s.platform,
              'active_count', s.active_count,
              'avg_session_minutes', round(s.avg_session_minutes, 2),
              'oldest_session', s.oldest_session,
              'latest_activity', s.latest_activity
            ) order by s.active_count desc, s.platform), '[]')
            from public.active_sessions_summary as s
          )
        )::text";
}

/// A whole sweep and a whole cleanup as the version before the record of runs did them. Their counts.
fn maintain_as_before_the_record(client: &mut Client) -> (u64, u64) {
    use before_the_record::*;
    let look = ask(
        client,
        END_INACTIVE_LOOK,
        &[
            (&60, Type::INT4),
            (&false, Type::BOOL),
            (&false, Type::BOOL),
            (&50, Type::INT4),
        ],
    );
    assert_eq!(look["due"], true);
    let cutoff = look["cutoff"].as_str().unwrap();
    let due = ask(
        client,
        END_INACTIVE_COUNT,
        &[(&cutoff, Type::TEXT), (&false, Type::BOOL)],
    );
    let mut ended = 0;
    let mut list = look["list"].clone();
    loop {
        let rows = list["rows"].as_str().unwrap();
        let batch = ask(
            client,
            END_INACTIVE_BATCH,
            &[
                (&cutoff, Type::TEXT),
                (&5000, Type::INT4),
                (&rows, Type::TEXT),
                (&false, Type::BOOL),
                (&false, Type::BOOL),
            ],
        );
        assert_eq!(batch["skipped"], false);
        assert!(batch["transaction"].is_string());
        ended += batch["affected"].as_u64().unwrap();
        if list["complete"] == true {
            break;
        }
        let last = rows.rsplit(' ').next().unwrap();
        list = ask(
            client,
            END_INACTIVE_LIST,
            &[
                (&cutoff, Type::TEXT),
                (&last, Type::TEXT),
                (&false, Type::BOOL),
                (&false, Type::BOOL),
                (&50, Type::INT4),
            ],
        );
    }
    assert_eq!(due, ended);

    let look = ask(client, CLEANUP_LOOK, &[(&90, Type::INT4)]);
    assert_eq!(look["due"], true);
    let cutoff = look["cutoff"].as_str().unwrap();
    let past_retention = ask(client, CLEANUP_COUNT, &[(&cutoff, Type::TEXT)]);
    let mut deleted = 0;
    let mut position: Option<String> = None;
    loop {
        let batch = ask(
            client,
            CLEANUP_BATCH,
            &[(&cutoff, Type::TEXT), (&40, Type::INT4), (&position, Type::TEXT)],
        );
        assert_eq!(batch["skipped"], false);
        deleted += batch["affected"].as_u64().unwrap();
        if batch["finished"] == true {
            break;
        }
        position = batch["position"].as_str().map(ToOwned::to_owned);
    }
    assert_eq!(past_retention, deleted);
    let summary = ask(client, SUMMARY, &[]);
    assert_eq!(summary["platforms"][0]["platform"], "web");
    (ended, deleted)
}

#[test]
fn the_statements_of_the_version_before_the_record_of_runs_still_do_the_work() {
    for grants in BOTH_GENERATIONS {
        let db = Db::migrated(grants);
        let mut client = db.client();
        fill(&mut client, 120);
        assert_eq!(maintain_as_before_the_record(&mut client), (120, 120));
        assert_eq!(sessions(&mut client, "status = 'active'"), 120);
        assert_eq!(
            sessions(
                &mut client,
                "status = 'timeout' and ended_at >= now() - interval '1 hour'"
            ),
            120
        );
        assert_eq!(sessions(&mut client, "true"), 360);
        // Later runs of this version go on.
        assert_eq!(
            db.sessctl(&["end-inactive", "--format", "json"]).ok().json()["ended"],
            0
        );
        assert_eq!(db.sessctl(&["cleanup", "--format", "json"]).ok().json()["deleted"], 0);
    }
}

#[test]
fn the_public_functions_and_the_commands_of_earlier_jobs_still_do_the_work() {
    let db = Db::migrated(Grants::Closed);
    for (end_inactive, cleanup) in [
        (
            "select public.end_inactive_sessions()",
            "select public.cleanup_old_sessions()",
        ),
        (
            "select public.end_inactive_sessions(60)",
            "select public.cleanup_old_sessions(90)",
        ),
        ("select sessctl.end_inactive(60)", "select sessctl.cleanup(90)"),
        (
            "select from generate_series(1, sessctl.end_inactive(60, 50000))",
            "select from generate_series(1, sessctl.cleanup(90, 500000))",
        ),
    ] {
        let mut client = db.client();
        fill(&mut client, 30);
        client.batch_execute(end_inactive).unwrap();
        assert_eq!(sessions(&mut client, "status = 'timeout'"), 30, "{end_inactive}");
        client.batch_execute(cleanup).unwrap();
        assert_eq!(sessions(&mut client, "true"), 90, "{cleanup}");
    }
}

#[test]
#[ignore = "it needs the binary of an earlier version: make test-upgrade builds one, and runs this"]
fn an_earlier_binary_does_its_work_on_this_schema() {
    let program = std::env::var("SESSCTL_EARLIER").expect("SESSCTL_EARLIER names the binary of an earlier version");
    for grants in BOTH_GENERATIONS {
        let db = Db::migrated(grants);
        let mut client = db.client();
        fill(&mut client, 3000);
        let earlier = |arguments: &[&str], key: &str| {
            let run = Run::of(
                clean(&program)
                    .env("DATABASE_URL", db.url())
                    .args(arguments)
                    .args(["--format", "json"]),
            );
            run.ok().json()[key].clone()
        };
        assert_eq!(earlier(&["end-inactive", "--dry-run"], "ended"), 3000);
        assert_eq!(earlier(&["end-inactive", "--batch-size", "500"], "ended"), 3000);
        assert_eq!(earlier(&["end-inactive"], "ended"), 0);
        assert_eq!(sessions(&mut client, "status = 'timeout'"), 3000);
        assert_eq!(earlier(&["cleanup", "--dry-run"], "deleted"), 3000);
        assert_eq!(earlier(&["cleanup", "--batch-size", "500"], "deleted"), 3000);
        assert_eq!(earlier(&["cleanup"], "deleted"), 0);
        assert_eq!(sessions(&mut client, "true"), 9000);
        assert_eq!(earlier(&["summary"], "total_active"), 3000);
        db.sessctl(&["verify", "--strict"]).ok();
    }
}

pub fn later_migration() -> Migration {
    let version = sessctl::migrations::all().last().unwrap().version() + 1;
    let sql = include_str!("fixtures/later_migration.sql");
    Migration::unapplied(&format!("V{version}__later"), sql).unwrap()
}

/// Migrates as a later version would; the versions that were applied.
fn try_to_migrate_later(db: &Db) -> Result<Vec<i32>, Failure> {
    block_on(async {
        let target = Target::from_string(&db.url()).unwrap();
        let database = Database::connect(&target, "test").await.unwrap();
        let applied = apply_with(&database, later_migration(), None).await;
        database.close().await;
        applied
    })
}

pub fn migrate_later(db: &Db) -> Vec<i32> {
    try_to_migrate_later(db).unwrap()
}

/// Counts the functions in schema sessctl.
pub const FUNCTIONS: &str = "select count(*) from pg_proc where pronamespace = 'sessctl'::regnamespace";

/// What the role may run of the functions in schema sessctl, and whether it may delete sessions.
pub fn rights(db: &Db, role: &str) -> (i64, bool) {
    let sql = format!(
        "select count(*) filter (where has_function_privilege('{role}', p.oid, 'execute')),
           has_table_privilege('{role}', 'public.user_sessions', 'delete')
         from pg_proc p where pronamespace = 'sessctl'::regnamespace"
    );
    let row = db.client().query_one(&sql, &[]).unwrap();
    (row.get(0), row.get(1))
}

/// The maintenance of this version, as a role.
#[track_caller]
fn maintain(url: &str, expected: u32) {
    for (command, count) in [("end-inactive", "ended"), ("cleanup", "deleted")] {
        let run = Run::of(&mut sessctl_on(url, &[command, "--format", "json"])).ok();
        assert_eq!(run.json()[count], expected, "{command}");
    }
}

/// Roles of a team, dropped with the value.
struct Team<'a> {
    db: &'a Db,
    cron: String,
    reports: String,
}

impl<'a> Team<'a> {
    /// One role runs maintenance. The other one has every function of the owner's by default, and no table.
    fn create(db: &'a Db) -> Self {
        let (cron, reports) = (format!("cron {}", db.name), format!("reports_{}", db.name));
        db.admin()
            .batch_execute(&format!(
                "create role \"{cron}\" login bypassrls password 'team'; create role {reports};
                 alter default privileges for role postgres grant execute on functions to {reports}"
            ))
            .unwrap();
        Self { db, cron, reports }
    }

    fn url(&self) -> String {
        self.db.url_as(&self.cron.replace(' ', "%20"), "team")
    }
}

impl Drop for Team<'_> {
    fn drop(&mut self) {
        let (cron, reports) = (&self.cron, &self.reports);
        let _ = self.db.admin().batch_execute(&format!(
            "set role postgres; drop owned by {reports}; reset role;
             drop owned by \"{cron}\", {reports}; drop role \"{cron}\", {reports}"
        ));
    }
}

#[test]
fn a_later_migration_keeps_maintenance_running_and_renews_the_rights_of_the_roles_that_run_it() {
    let newest = sessctl::migrations::all().last().unwrap().version();
    for grants in BOTH_GENERATIONS {
        // An upgrade.
        let db = Db::fresh(grants);
        let team = Team::create(&db);
        db.sessctl(&["migrate"]).ok();
        assert_eq!(rights(&db, &team.reports), (number(&mut db.client(), FUNCTIONS), false));
        let sql = format!("select sessctl.grant_maintenance('\"{}\"')", team.cron);
        db.client().batch_execute(&sql).unwrap();
        fill(&mut db.client(), 30);
        assert_eq!(migrate_later(&db), [newest + 1]);
        assert!(migrate_later(&db).is_empty());
        let all = number(&mut db.client(), FUNCTIONS);
        for role in [&*team.cron, "service_role"] {
            assert_eq!(rights(&db, role), (all, true), "{role}");
        }
        // Functions made it no role that runs maintenance.
        assert!(!rights(&db, &team.reports).1);
        for role in ["anon", "authenticated"] {
            assert_eq!(rights(&db, role), (0, false), "{role}");
        }
        maintain(&team.url(), 30);
        fill(&mut db.client(), 30);
        assert_eq!(maintain_as_before_the_record(&mut db.client()), (30, 30));
    }
    for grants in BOTH_GENERATIONS {
        // An adoption.
        let db = Db::pasted(grants);
        fill(&mut db.client(), 30);
        assert_eq!(migrate_later(&db), (1..=newest + 1).collect::<Vec<_>>());
        let upgraded = Db::migrated(grants);
        migrate_later(&upgraded);
        assert!(facts(&db) == facts(&upgraded));
        assert_eq!(rights(&db, "service_role"), (number(&mut db.client(), FUNCTIONS), true));
        maintain(&db.url(), 30);
        fill(&mut db.client(), 30);
        assert_eq!(maintain_as_before_the_record(&mut db.client()), (30, 30));
    }
}

#[test]
fn rights_are_renewed_by_the_last_migration_where_one_before_it_lacks_a_function() {
    let db = Db::migrated(Grants::Open);
    let team = Team::create(&db);
    let mut client = db.client();
    // V3 drops the function, and V4 makes it again.
    client
        .batch_execute(&format!(
            "select sessctl.grant_maintenance('\"{}\"');
             drop table sessctl.schema_history;
             drop function public.end_inactive_sessions(integer);
             create function public.end_inactive_sessions(minutes integer) returns bigint language sql as 'select 1::bigint'",
            team.cron
        ))
        .unwrap();
    db.sessctl(&["migrate", "--yes"]).ok();
    let may = format!(
        "select has_function_privilege('{}', 'public.end_inactive_sessions(integer)', 'execute')::integer::bigint",
        team.cron
    );
    assert_eq!(number(&mut client, &may), 1);
    fill(&mut client, 30);
    maintain(&team.url(), 30);
}

#[test]
fn a_later_migration_that_drops_what_others_use_is_refused() {
    let newest = i64::from(sessctl::migrations::all().last().unwrap().version());
    let db = Db::migrated(Grants::Closed);
    let mut client = db.client();
    client
        .batch_execute("create view public.mine as select * from sessctl.cleanup_batch(now(), 1)")
        .unwrap();
    let failure = try_to_migrate_later(&db).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "function sessctl.cleanup_batch(timestamp with time zone, integer, text) must be replaced, and is used by view public.mine"
    );
    assert_eq!(
        number(&mut client, "select max(version)::bigint from sessctl.schema_history"),
        newest
    );
    client.batch_execute("drop view public.mine").unwrap();
    migrate_later(&db);
    assert_eq!(
        number(&mut client, "select max(version)::bigint from sessctl.schema_history"),
        newest + 1
    );
}

/// The objects of the later migration, as a later version has them among its files.
fn later_texts() -> Vec<(String, String)> {
    let sql = include_str!("fixtures/later_migration.sql");
    let text = |start: &str, end: &str| {
        let rest = &sql[sql.find(start).unwrap()..];
        rest[..rest.find(end).unwrap() + end.len()].to_owned()
    };
    let function = text("create function sessctl.cleanup_batch(", "\n$$;\n");
    let function = function.replacen("create function", "create or replace function", 1);
    vec![
        ("sessctl.cleanup_batch".into(), function),
        (
            "sessctl.ended_session".into(),
            text("create or replace view sessctl.ended_session\n", ";\n"),
        ),
    ]
}

/// The program of the later version repairs.
fn repair_later(db: &Db, wanted: &Facts) -> Result<Vec<String>, Failure> {
    block_on(async {
        let target = Target::from_string(&db.url()).unwrap();
        let database = Database::connect(&target, "test").await.unwrap();
        let repaired = repair_with(&database, later_migration(), wanted.clone(), later_texts()).await;
        database.close().await;
        repaired
    })
}

#[test]
fn a_later_version_repairs_what_its_own_migration_made() {
    for grants in BOTH_GENERATIONS {
        let db = Db::migrated(grants);
        fill(&mut db.client(), 30);
        migrate_later(&db);
        let wanted = facts(&db);
        assert!(repair_later(&db, &wanted).unwrap().is_empty());
        for damage in [
            "drop view sessctl.ended_session cascade",
            "drop function sessctl.cleanup_batch(timestamptz, integer, text, text)",
            // What was before it.
            concat!(
                "drop function sessctl.cleanup_batch(timestamptz, integer, text, text);",
                include_str!("../src/schema/objects/sessctl.cleanup_batch.sql")
            ),
            "drop table sessctl.run, sessctl.job",
            "drop index public.idx_user_sessions_status; drop policy \"Users can view their own sessions\" on public.user_sessions",
            "delete from sessctl.schema_history where version = 4",
        ] {
            db.client().batch_execute(damage).unwrap();
            assert!(!repair_later(&db, &wanted).unwrap().is_empty(), "{damage}");
            assert!(facts(&db) == wanted, "{damage}");
            assert!(repair_later(&db, &wanted).unwrap().is_empty(), "{damage}");
        }
        maintain(&db.url(), 30);
    }
}

/// A copy of the schema without rows, as a preview branch is.
const WITHOUT_ROWS: &str = "truncate sessctl.schema_history, sessctl.run, sessctl.job, sessctl.declared";

#[test]
fn a_copy_without_rows_is_recorded_and_then_upgraded() {
    let newest = sessctl::migrations::all().last().unwrap().version();
    let later = Db::migrated(Grants::Closed);
    migrate_later(&later);
    let wanted = facts(&later);
    for copied in [WITHOUT_ROWS, "drop table sessctl.schema_history"] {
        // Of the version before it: that one is recorded, and the later one applied.
        let db = Db::migrated(Grants::Open);
        db.client().batch_execute(copied).unwrap();
        let migrate = || {
            block_on(async {
                let target = Target::from_string(&db.url()).unwrap();
                let database = Database::connect(&target, "test").await.unwrap();
                let applied = apply_with(&database, later_migration(), Some(wanted.clone())).await;
                database.close().await;
                applied
            })
        };
        assert_eq!(migrate().unwrap(), [newest + 1]);
        assert!(facts(&db) == wanted);
        // Of the later one: nothing is applied.
        db.client().batch_execute(copied).unwrap();
        // This version does not know it, and leaves it alone.
        for arguments in [&["migrate"][..], &["migrate", "--repair"]] {
            db.sessctl(arguments)
                .exits(3)
                .says("function sessctl.cleanup_batch(timestamp with time zone, integer, text, text)")
                .says("view sessctl.ended_session")
                .says("install that one");
        }
        assert!(migrate().unwrap().is_empty());
        assert!(facts(&db) == wanted);
        let count = "select count(*) from sessctl.schema_history";
        assert_eq!(number(&mut db.client(), count), i64::from(newest) + 1);
    }
}

#[test]
fn a_copy_without_rows_that_this_version_made_is_recorded_and_no_migration_runs() {
    for copied in [WITHOUT_ROWS, "drop table sessctl.schema_history"] {
        let db = Db::migrated(Grants::Open);
        let before = facts(&db);
        db.client().batch_execute(copied).unwrap();
        let dry = db.sessctl(&["migrate", "--dry-run", "--format", "json"]).ok().json();
        assert_eq!(dry["pending"].as_array().unwrap().len(), 0);
        let run = db.sessctl(&["migrate", "--format", "json"]).ok();
        assert!(!run.stderr.contains("applied V"), "{}", run.stderr);
        let json = run.json();
        let newest = sessctl::migrations::all().len();
        assert_eq!(json["recorded"].as_array().unwrap().len(), newest);
        assert_eq!(json["applied"].as_array().unwrap().len(), 0);
        db.sessctl(&["verify", "--strict"]).ok();
        assert!(facts(&db) == before);
        // With a difference it is adopted as ever, by the migrations.
        db.client()
            .batch_execute(&format!("{copied}; drop function sessctl.run_tidy"))
            .unwrap();
        let run = db.sessctl(&["migrate"]).ok();
        assert!(run.stderr.contains("applied V4"), "{}", run.stderr);
        db.sessctl(&["verify", "--strict"]).ok();
    }
}
