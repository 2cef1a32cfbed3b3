//! What a role, a database or a pooler may have set changes nothing that the program does.

use postgres::Client;
use serde_json::{Value, json};
use sessctl::sandbox::Grants;

use crate::common::{Db, number};

/// Settings that a role can carry, each with a value that is not the usual one.
const SETTINGS: [&[(&str, &str)]; 2] = [
    &[
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_deferrable", "on"),
        ("statement_timeout", "9s"),
        ("lock_timeout", "9s"),
        ("idle_in_transaction_session_timeout", "50ms"),
        ("quote_all_identifiers", "on"),
        ("standard_conforming_strings", "off"),
        ("backslash_quote", "off"),
        ("escape_string_warning", "on"),
        ("datestyle", "German, DMY"),
        ("intervalstyle", "sql_standard"),
        ("timezone", "Asia/Kathmandu"),
        ("client_encoding", "LATIN1"),
        ("lc_messages", "C"),
        ("lc_monetary", "C"),
        ("lc_numeric", "C"),
        ("lc_time", "C"),
        ("row_security", "off"),
        ("search_path", "pg_temp, hostile, pg_catalog"),
        ("extra_float_digits", "-15"),
        ("bytea_output", "escape"),
        ("array_nulls", "off"),
        ("transform_null_equals", "on"),
        ("check_function_bodies", "off"),
        ("client_min_messages", "debug5"),
        ("synchronous_commit", "off"),
        ("work_mem", "64kB"),
        ("plan_cache_mode", "force_generic_plan"),
        ("plpgsql.variable_conflict", "use_column"),
        ("plpgsql.extra_warnings", "all"),
        ("jit", "on"),
        ("jit_above_cost", "0"),
        ("jit_optimize_above_cost", "0"),
        ("enable_indexscan", "off"),
        ("enable_bitmapscan", "off"),
        ("enable_indexonlyscan", "off"),
        ("enable_tidscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_sort", "off"),
        ("constraint_exclusion", "on"),
        ("from_collapse_limit", "1"),
        ("join_collapse_limit", "1"),
    ],
    &[
        ("default_transaction_isolation", "repeatable read"),
        ("intervalstyle", "iso_8601"),
        ("datestyle", "SQL, MDY"),
        ("client_min_messages", "error"),
        ("plpgsql.variable_conflict", "use_variable"),
        ("enable_seqscan", "off"),
        ("enable_nestloop", "off"),
        ("enable_mergejoin", "off"),
        ("enable_hashagg", "off"),
        ("enable_material", "off"),
        ("max_parallel_workers_per_gather", "8"),
        ("min_parallel_table_scan_size", "0"),
        ("parallel_setup_cost", "0"),
        ("parallel_tuple_cost", "0"),
        ("idle_session_timeout", "30s"),
        ("plan_cache_mode", "force_custom_plan"),
        ("default_toast_compression", "pglz"),
        ("synchronize_seqscans", "on"),
    ],
];

/// Objects that a search_path could put before those that are meant.
const HOSTILE: &str = "
  create schema hostile;
  grant all on schema hostile to public;
  create function hostile.now() returns timestamptz language sql as 'select ''2000-01-01''::timestamptz';
  create function hostile.count(text) returns bigint language sql as 'select 0::bigint';
  create function hostile.less(timestamptz, timestamptz) returns boolean language sql as 'select false';
  create operator hostile.< (leftarg = timestamptz, rightarg = timestamptz, function = hostile.less);
  create table hostile.user_sessions (id int)";

fn set(db: &Db, settings: &[(&str, &str)]) {
    let mut admin = db.admin();
    for (name, value) in settings {
        let sql = format!(
            "alter role postgres in database {} set {name} = {}",
            db.name,
            quoted(name, value)
        );
        admin
            .batch_execute(&sql)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// A list of names stays a list.
fn quoted(name: &str, value: &str) -> String {
    if name == "search_path" || name == "datestyle" {
        value.to_owned()
    } else {
        format!("'{value}'")
    }
}

/// Two sessions to end, three to delete, one with a child row, and three that stay.
const SEED: &str = "
  insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
  insert into public.user_sessions (user_id, started_at, session_id, platform, status, last_heartbeat_at, ended_at, last_activity_at)
  select '00000000-0000-4000-8000-000000000001', now() - interval '1 year', v.*
  from (values
    ('a', 'web', 'active', now() - interval '2 hours', null::timestamptz, now()),
    ('b', 'ios-external', 'active', now() - interval '61 minutes', null, now()),
    ('c', 'web', 'active', now() - interval '50 minutes', null, now()),
    ('d', 'web', 'idle', now() - interval '2 hours', null, now()),
    ('e', 'web', 'ended', null, now() - interval '91 days', now()),
    ('f', 'web', 'timeout', null, now() - interval '200 days', now()),
    ('g', 'web', 'ended', null, now() - interval '100 days', now()),
    ('h', 'web', 'ended', null, now() - interval '89 days', now())
  ) as v (session_id, platform, status, last_heartbeat_at, ended_at, last_activity_at);
  create table public.events (session uuid references public.user_sessions (id) on delete cascade);
  create index on public.events (session);
  insert into public.events select id from public.user_sessions where session_id in ('e', 'h')";

/// What every command says, without what differs from call to call.
fn everything(db: &Db) -> Value {
    let run = |arguments: &[&str]| {
        let run = db.sessctl(&[arguments, &["--format", "json"][..]].concat());
        let run = if run.code == 1 { run.exits(1) } else { run.ok() };
        run.json()
    };
    let pick = |value: Value, keys: &[&str]| -> Value { keys.iter().map(|key| value[*key].clone()).collect() };
    db.sessctl(&["migrate", "--dry-run"]).ok();
    let again = run(&["migrate"]);
    let verify = run(&["verify"]);
    db.admin().batch_execute(SEED).unwrap();
    let maintenance = [
        ("end-inactive", "--dry-run"),
        ("end-inactive", "--max-retries=3"),
        ("cleanup", "--dry-run"),
        ("cleanup", "--max-retries=3"),
    ]
    .map(|(command, flag)| {
        pick(
            run(&[command, flag]),
            &["ended", "deleted", "failed", "left", "skipped"],
        )
    });
    let status = run(&["status"]);
    let jobs: Vec<Value> = status["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| {
            json!([
                job["job"],
                job["threshold"],
                job["last_success"]["rows"],
                job["last_run"]["outcome"]
            ])
        })
        .collect();
    json!({
        "migrate": again,
        "verify": verify,
        "maintenance": maintenance,
        "status": [status["version"], jobs],
        "summary": pick(run(&["summary"]), &["platforms"])[0].as_array().map(|rows| {
            rows.iter().map(|row| pick(row.clone(), &["platform", "active_sessions", "unique_users"])).collect::<Vec<_>>()
        }),
        "doctor": run(&["doctor"])["checks"].as_array().map(|checks| {
            checks.iter().map(|check| pick(check.clone(), &["check", "state"])).collect::<Vec<_>>()
        }),
        "sessions": left(&mut db.admin()),
    })
}

fn left(client: &mut Client) -> Value {
    let events = number(client, "select count(*) from public.events");
    let sql = "select session_id || ' ' || status from public.user_sessions order by session_id";
    let sessions: Vec<String> = client.query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    json!([sessions, events])
}

#[test]
fn no_setting_of_the_role_changes_what_a_command_does() {
    let plain = Db::fresh(Grants::Closed);
    plain.sessctl(&["migrate"]).ok();
    let expected = everything(&plain);
    let stay = ["a timeout", "b timeout", "c active", "d idle", "h ended"];
    assert_eq!(expected["sessions"], json!([stay, 1]));
    for settings in SETTINGS {
        let db = Db::fresh(Grants::Closed);
        db.admin().batch_execute(HOSTILE).unwrap();
        set(&db, settings);
        db.sessctl(&["migrate"]).ok();
        assert_eq!(everything(&db), expected, "{settings:?}");
    }

    // Where foreign keys and triggers do nothing, child rows would stay behind.
    let replica = Db::fresh(Grants::Closed);
    set(&replica, &[("session_replication_role", "replica")]);
    replica.sessctl(&["migrate"]).ok();
    for command in ["end-inactive", "cleanup"] {
        replica
            .sessctl(&[command])
            .exits(3)
            .says("session_replication_role = replica")
            .says("alter role postgres reset session_replication_role");
    }
    // On the platform postgres may set it.
    let parameter = "set on parameter session_replication_role";
    let mut admin = replica.admin();
    admin.batch_execute(&format!("grant {parameter} to postgres")).unwrap();
    let did = everything(&replica);
    admin
        .batch_execute(&format!("revoke {parameter} from postgres"))
        .unwrap();
    assert_eq!(did, expected);
}
