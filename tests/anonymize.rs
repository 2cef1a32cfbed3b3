//! `sessctl anonymize` and `sessctl.run_anonymize`: the address, the user agent and the location go from sessions that ended long
//! ago, and nothing else changes.

use std::process::Stdio;

use postgres::Client;
use sessctl::sandbox::Grants;

use crate::common::running::{Running, wait_for};
use crate::common::{Db, number};

const USER: &str = "00000000-0000-4000-8000-000000000001";

/// Ended sessions with all that can be removed: so many, a minute apart, the last one so many days ago. Their updated_at is as old.
fn seed(rows: u32, days: u32) -> String {
    format!(
        "insert into auth.users (id) values ('{USER}') on conflict do nothing;
         insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at, ip_address, user_agent, location_info,
           updated_at, last_heartbeat_at)
         select '{USER}', 'old{days}-' || n, 'web', 'ended', e.at - interval '1 hour', e.at, '203.0.113.77', 'agent', '{{\"city\": \"X\"}}', e.at, e.at
         from generate_series(1, {rows}) n
         cross join lateral (select now() - interval '{days} days' - ({rows} - n) * interval '1 minute') as e (at);
         analyze public.user_sessions"
    )
}

fn seeded(rows: u32, days: u32) -> Db {
    let db = Db::migrated(Grants::Closed);
    db.client().batch_execute(&seed(rows, days)).unwrap();
    db
}

/// Sessions that have something that a run removes.
const PERSONAL: &str = "select count(*) from public.user_sessions
    where ip_address is not null or user_agent is not null or location_info <> '{}'";

fn personal(db: &Db) -> i64 {
    number(&mut db.client(), PERSONAL)
}

fn keep_rows(client: &mut Client) {
    let sql = "drop table if exists public.before; create table public.before as select * from public.user_sessions";
    client.batch_execute(sql).unwrap();
}

/// The sessions that differ from before in one of the other columns.
const OTHERWISE_CHANGED: &str = "select count(*) from public.before b full join public.user_sessions s using (id)
    where to_jsonb(b) - '{ip_address,user_agent,location_info}'::text[]
      is distinct from to_jsonb(s) - '{ip_address,user_agent,location_info}'::text[]";

/// What a run by this name has done by its own words.
fn anonymized(db: &Db, arguments: &[&str]) -> serde_json::Value {
    db.sessctl(&[&["anonymize", "--format", "json"], arguments].concat())
        .ok()
        .json()["anonymized"]
        .clone()
}

#[test]
fn only_sessions_that_ended_long_ago_at_a_plausible_time_are_anonymized_and_no_time_changes() {
    let db = Db::migrated(Grants::Closed);
    let mut client = db.client();
    let session = |name: &str, status: &str, ended: &str, seen: &str| {
        format!(
            "('{USER}', '{name}', 'web', '{status}', now() - interval '400 days', {ended}, '203.0.113.77', 'agent', '{{\"city\": \"X\"}}', {seen}, {seen})"
        )
    };
    let (long_ago, recently) = ("now() - interval '40 days'", "now() - interval '20 days'");
    let plain = [
        session("old", "ended", long_ago, long_ago),
        session("old timeout", "timeout", long_ago, long_ago),
        session("young", "ended", recently, recently),
        session("active", "active", "null", long_ago),
        session("idle", "idle", "null", long_ago),
        session("revived", "active", long_ago, long_ago),
        session("revived idle", "idle", long_ago, long_ago),
    ];
    let implausible = [
        session("without an end", "ended", "null", long_ago),
        session("ends in 2099", "timeout", "'2099-01-01'", long_ago),
        session("ends before its start", "ended", "'2001-01-01'", recently),
    ];
    let columns = "user_id, session_id, platform, status, started_at, ended_at, ip_address, user_agent, location_info, updated_at, last_heartbeat_at";
    client
        .batch_execute(&format!(
            "insert into auth.users (id) values ('{USER}');
             insert into public.user_sessions ({columns}) values {};
             insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at, location_info) values
               ('{USER}', 'nulls', 'web', 'ended', now() - interval '400 days', {long_ago}, null),
               ('{USER}', 'blank', 'web', 'ended', now() - interval '400 days', {long_ago}, '{{}}')",
            plain.join(", ")
        ))
        .unwrap();
    keep_rows(&mut client);
    assert_eq!(anonymized(&db, &[]), 2);
    assert_eq!(number(&mut client, OTHERWISE_CHANGED), 0);
    let blank = |client: &mut Client| -> Vec<String> {
        let sql = "select session_id from public.user_sessions where ip_address is null and user_agent is null and location_info = '{}'
            and session_id <> 'blank' order by session_id";
        client.query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(blank(&mut client), ["old", "old timeout"]);
    // A row without anything to remove has no new version, and null stays null.
    let untouched = "select count(*) from public.user_sessions s join public.before b using (id)
        where s.session_id in ('nulls', 'blank') and s.location_info is not distinct from b.location_info
          and s.xmin::text::bigint < (select min(xmin::text::bigint) from public.user_sessions where session_id like 'old%')";
    assert_eq!(number(&mut client, untouched), 2);

    // An implausible end is settled first; what it then is decides.
    client
        .batch_execute(&format!(
            "insert into public.user_sessions ({columns}) values {};
             update sessctl.job set full_at = null where name = 'anonymize'",
            implausible.join(", ")
        ))
        .unwrap();
    let counted = db.sessctl(&["anonymize", "--dry-run", "--format", "json"]).ok().json();
    let run = db.sessctl(&["anonymize", "--format", "json"]).ok().json();
    for json in [counted, run] {
        assert_eq!(
            (&json["anonymized"], &json["settled"]),
            (&2.into(), &3.into()),
            "{json}"
        );
    }
    assert_eq!(
        blank(&mut client),
        ["ends in 2099", "old", "old timeout", "without an end"]
    );
}

#[test]
fn a_truncated_address_keeps_its_network_once_and_the_rest_goes() {
    let db = seeded(0, 40);
    let mut client = db.client();
    let addresses = [
        ("203.0.113.77", "203.0.113.0/24"),
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("203.0.113.77/24", "203.0.113.0/24"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0", "0.0.0.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("2001:db8:1::/48", "2001:db8:1::/48"),
        ("2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "::/48"),
        ("2001:db8::/32", "2001:db8::/32"),
    ];
    for (index, (address, _)) in addresses.iter().enumerate() {
        client
            .execute(
                &format!(
                    "insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at, ip_address)
                     values ('{USER}', $1, 'web', 'ended', now() - interval '400 days', now() - interval '40 days', $2::text::inet)"
                ),
                &[&index.to_string(), address],
            )
            .unwrap();
    }
    client
        .execute(
            "update public.user_sessions set user_agent = 'agent' where session_id = '0'",
            &[],
        )
        .unwrap();
    keep_rows(&mut client);
    // The others are their network already.
    assert_eq!(anonymized(&db, &["--ip", "truncate"]), 7);
    let found = client
        .query(
            "select ip_address::text, user_agent from public.user_sessions order by session_id::int",
            &[],
        )
        .unwrap();
    for (row, (address, expected)) in found.iter().zip(addresses) {
        assert_eq!(row.get::<_, String>(0), expected, "{address}");
        assert_eq!(row.get::<_, Option<String>>(1), None);
    }
    assert_eq!(number(&mut client, OTHERWISE_CHANGED), 0);
    client
        .batch_execute("update sessctl.job set full_at = null where name = 'anonymize'")
        .unwrap();
    assert_eq!(anonymized(&db, &["--ip", "truncate"]), 0);
    // More than the run before it removed.
    assert_eq!(anonymized(&db, &[]), 11);
    assert_eq!(personal(&db), 0);
}

#[test]
fn what_is_kept_stays_and_goes_once_it_is_no_longer_kept() {
    let left = "select count(*) filter (where ip_address is not null), count(*) filter (where user_agent is not null),
        count(*) filter (where location_info <> '{}') from public.user_sessions";
    let db = seeded(100, 40);
    let mut client = db.client();
    for (arguments, done, expected) in [
        (
            &["--keep", "user-agent,location", "--ip", "truncate"][..],
            100,
            [100, 100, 100],
        ),
        (&["--keep", "user-agent,location"], 100, [0, 100, 100]),
        (&["--keep", "location"], 100, [0, 0, 100]),
        (&["--keep", "user-agent", "--keep", "location"], 0, [0, 0, 100]),
        (&["--keep", "user-agent"], 100, [0, 0, 0]),
        (&[], 0, [0, 0, 0]),
    ] {
        assert_eq!(anonymized(&db, arguments), done, "{arguments:?}");
        let row = client.query_one(left, &[]).unwrap();
        let found: [i64; 3] = [0, 1, 2].map(|column| row.get(column));
        assert_eq!(found, expected, "{arguments:?}");
    }
}

#[test]
fn a_run_reads_on_from_the_resume_point_and_once_a_week_from_the_beginning() {
    let db = seeded(100, 40);
    let mut client = db.client();
    assert_eq!(anonymized(&db, &["--days", "35"]), 100);
    // A session before the resume point that has an address all the same, as one that came to an older end later.
    let restore = "update public.user_sessions set ip_address = '203.0.113.77' where session_id = 'old40-5'";
    client.batch_execute(restore).unwrap();
    client.batch_execute(&seed(10, 31)).unwrap();
    assert_eq!(anonymized(&db, &["--dry-run"]), 10);
    assert_eq!(anonymized(&db, &["--days", "30"]), 10);
    // With fewer days more is due; with more days nothing is, and nothing is forgotten.
    client.batch_execute(&seed(10, 20)).unwrap();
    assert_eq!(anonymized(&db, &["--days", "10", "--yes"]), 10);
    assert_eq!(anonymized(&db, &["--days", "30"]), 0);
    assert_eq!(anonymized(&db, &["--days", "10"]), 0);
    // To keep something is no reason to begin again.
    assert_eq!(anonymized(&db, &["--days", "10", "--keep", "location"]), 0);
    assert_eq!(personal(&db), 1);
    client
        .batch_execute("update sessctl.job set full_at = full_at - interval '8 days'")
        .unwrap();
    assert_eq!(anonymized(&db, &["--days", "10", "--keep", "location"]), 1);
    assert_eq!(personal(&db), 0);
    let resumed = "select count(*) from sessctl.job where name = 'anonymize' and full_at > now() - interval '1 day'";
    assert_eq!(number(&mut client, resumed), 1);
}

#[test]
fn a_run_finds_its_sessions_by_the_index_on_ended_at() {
    let db = seeded(20_000, 40);
    let mut admin = db.admin();
    admin.batch_execute("vacuum analyze public.user_sessions").unwrap();
    admin.batch_execute("select pg_stat_reset()").unwrap();
    assert_eq!(anonymized(&db, &[]), 20_000);
    // As if five days had passed.
    let passed = "update sessctl.job set resume_at = resume_at - interval '5 days' where name = 'anonymize'";
    db.client()
        .batch_execute(&format!("{passed}; {}", seed(100, 31)))
        .unwrap();
    assert_eq!(anonymized(&db, &[]), 100);
    db.client().batch_execute("call sessctl.run_anonymize(20)").unwrap();
    let stat = |column: &str| format!("select {column} from pg_stat_user_tables where relname = 'user_sessions'");
    wait_for("the statistics of the runs", || {
        (number(&mut admin, &stat("n_tup_upd")) == 20_100).then_some(())
    });
    assert_eq!(number(&mut admin, &stat("seq_scan")), 0);
    let by_index = "select idx_scan from pg_stat_user_indexes where indexrelname = 'idx_user_sessions_ended_at'";
    assert!(number(&mut admin, by_index) > 0);
}

#[test]
fn many_that_ended_at_one_moment_are_done_in_batches() {
    let db = Db::migrated(Grants::Closed);
    let mut client = db.client();
    client.batch_execute(&seed(100, 50)).unwrap();
    client
        .batch_execute(
            "insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at, ip_address)
             select user_id, 'moment' || n, 'web', 'timeout', started_at, ended_at, '203.0.113.77'
             from public.user_sessions, generate_series(1, 30000) n where session_id = 'old50-50';
             analyze public.user_sessions",
        )
        .unwrap();
    let json = db.sessctl(&["anonymize", "--format", "json"]).ok().json();
    assert_eq!(json["anonymized"], 30_100, "{json}");
    assert!(json["batches"].as_i64().unwrap() > 3, "{json}");
    assert_eq!(personal(&db), 0);
    assert_eq!(anonymized(&db, &[]), 0);
}

#[test]
fn a_shuffled_table_is_read_block_by_block_and_a_rewritten_one_to_its_end() {
    let db = seeded(0, 40);
    let mut client = db.client();
    client
        .batch_execute(&format!(
            "insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at, ip_address)
             select '{USER}', n::text, 'web', 'ended', now() - interval '400 days', now() - interval '200 days' + (n * 7919 % 20000) * interval '1 minute', '203.0.113.77'
             from generate_series(1, 20000) n;
             analyze public.user_sessions"
        ))
        .unwrap();
    let child = Running::start(db.command(&[
        "anonymize",
        "--batch-size",
        "1000",
        "--pause",
        "500ms",
        "--format",
        "json",
    ]));
    let done = "select coalesce(sum(rows_done), 0)::bigint from sessctl.run";
    wait_for("the first batch", || (number(&mut client, done) > 0).then_some(()));
    db.admin().batch_execute("vacuum full public.user_sessions").unwrap();
    child.end().ok();
    let rest = anonymized(&db, &[]);
    client.batch_execute("update sessctl.job set full_at = null").unwrap();
    let missed = anonymized(&db, &[]);
    assert_eq!((rest, missed, personal(&db)), (0.into(), 0.into(), 0));
}

#[test]
fn a_session_that_is_locked_is_left_and_done_by_the_next_run() {
    let db = seeded(3_000, 40);
    let (mut client, mut holder) = (db.client(), db.client());
    let mut holding = holder.transaction().unwrap();
    holding
        .batch_execute("select from public.user_sessions where session_id in ('old40-5', 'old40-2900') for update")
        .unwrap();
    let json = db.sessctl(&["anonymize", "--format", "json"]).ok().json();
    assert_eq!(
        (&json["anonymized"], &json["left"]),
        (&2_998.into(), &2.into()),
        "{json}"
    );
    assert_eq!(personal(&db), 2);
    client.batch_execute("call sessctl.run_anonymize(30)").unwrap();
    let left = "select rows_left from sessctl.run where source = 'sql'";
    assert_eq!(number(&mut client, left), 2);
    holding.rollback().unwrap();
    assert_eq!(anonymized(&db, &[]), 2);
    assert_eq!(personal(&db), 0);
}

#[test]
fn a_session_that_a_check_refuses_is_named_and_the_others_are_done() {
    for call in ["", "call sessctl.run_anonymize(30)"] {
        let db = seeded(3_000, 40);
        let mut client = db.client();
        client
            .batch_execute(
                "alter table public.user_sessions add constraint address_stays
                   check (ip_address is not null or session_id not in ('old40-7', 'old40-1700')) not valid",
            )
            .unwrap();
        for done in [2_998, 0] {
            if call.is_empty() {
                db.sessctl(&["anonymize"])
                    .exits(3)
                    .says(&format!("anonymized {} sessions", if done > 0 { "2,998" } else { "0" }))
                    .says("2 sessions (")
                    .says("constraint address_stays")
                    .says("2 could not be anonymized");
            } else {
                let error = client.batch_execute(call).unwrap_err();
                let message = error.as_db_error().unwrap().message().to_owned();
                assert!(
                    message.starts_with("anonymize: 2 sessions (") && message.contains("address_stays"),
                    "{message}"
                );
            }
            let newest = "select rows_done from sessctl.run order by started_at desc limit 1";
            assert_eq!(number(&mut client, newest), done);
        }
        assert_eq!(personal(&db), 2);
        client
            .batch_execute("alter table public.user_sessions drop constraint address_stays")
            .unwrap();
        assert_eq!(anonymized(&db, &[]), 2);
    }
}

#[test]
fn a_trigger_that_prevents_the_update_is_named() {
    let db = seeded(300, 40);
    let mut client = db.client();
    client
        .batch_execute(
            "create function public.keep() returns trigger language plpgsql as $$ begin new.ip_address := old.ip_address; return new; end $$;
             create trigger keep before update on public.user_sessions for each row execute function public.keep()",
        )
        .unwrap();
    let message = "300 sessions: trigger keep on user_sessions prevented their update";
    db.sessctl(&["anonymize"]).exits(3).says(message);
    let error = client.batch_execute("call sessctl.run_anonymize(30)").unwrap_err();
    assert_eq!(error.as_db_error().unwrap().message(), format!("anonymize: {message}"));
}

#[test]
fn updates_keep_updated_at_as_before_but_those_that_only_take_something_from_a_session_that_is_over() {
    let db = seeded(1, 40);
    let mut client = db.client();
    client
        .batch_execute(&format!(
            "update public.user_sessions set session_id = 'over';
             insert into public.user_sessions (user_id, session_id, platform, ip_address, user_agent, location_info)
             values ('{USER}', 'active', 'web', '203.0.113.77', 'agent', '{{\"city\": \"X\"}}')"
        ))
        .unwrap();
    for (session, set, is_written) in [
        ("active", "last_heartbeat_at = now()", true),
        ("active", "status = 'ended', ended_at = now()", true),
        (
            "active",
            "ip_address = null, user_agent = null, location_info = '{}'",
            true,
        ),
        ("active", "ip_address = ip_address", true),
        ("active", "updated_at = '2020-01-01'", true),
        ("over", "ip_address = ip_address", true),
        ("over", "device_info = '{}'", true),
        ("over", "status = 'active'", true),
        ("over", "last_activity_at = now()", true),
        ("over", "ip_address = '198.51.100.1'", true),
        ("over", "ip_address = '203.0.113.77/8', user_agent = 'other'", true),
        ("over", "location_info = '{\"city\": \"Y\"}', ip_address = null", true),
        ("over", "user_agent = null, end_reason = 'logout'", true),
        ("over", "user_agent = null, updated_at = '2020-01-01'", true),
        ("over", "ip_address = null", false),
        ("over", "ip_address = '203.0.113.0/24'", false),
        ("over", "user_agent = null", false),
        ("over", "location_info = '{}'", false),
        ("over", "location_info = null", false),
        (
            "over",
            "ip_address = null, user_agent = null, location_info = '{}'",
            false,
        ),
    ] {
        let mut transaction = client.transaction().unwrap();
        let sql = format!("update public.user_sessions set {set} where session_id = '{session}'");
        assert_eq!(transaction.execute(&sql, &[]).unwrap(), 1);
        let sql = format!("select updated_at = now() from public.user_sessions where session_id = '{session}'");
        let written: bool = transaction.query_one(&sql, &[]).unwrap().get(0);
        assert_eq!(written, is_written, "{session}: {set}");
        transaction.rollback().unwrap();
    }
    // What was never there can be written, and counts.
    client
        .batch_execute("update public.user_sessions set ip_address = null, user_agent = null, location_info = null where session_id = 'over'")
        .unwrap();
    for set in [
        "ip_address = '203.0.113.77'",
        "user_agent = 'agent'",
        "location_info = '{\"a\": 1}'",
    ] {
        let mut transaction = client.transaction().unwrap();
        let sql =
            format!("update public.user_sessions set {set} where session_id = 'over' returning updated_at = now()");
        assert!(transaction.query_one(&sql, &[]).unwrap().get::<_, bool>(0), "{set}");
    }
}

#[test]
fn the_procedure_does_what_the_program_does() {
    for (arguments, call) in [
        (&["--days", "30"][..], "call sessctl.run_anonymize(30)"),
        (
            &["--days", "45", "--ip", "truncate", "--keep", "user-agent"],
            "call sessctl.run_anonymize(45, ip => 'truncate', keep => '{user-agent}')",
        ),
    ] {
        let state = |db: &Db| -> String {
            let sql = "select md5(string_agg(concat_ws('|', session_id, ip_address, user_agent, location_info), ' ' order by session_id))
                from public.user_sessions";
            db.client().query_one(sql, &[]).unwrap().get(0)
        };
        let dbs = [(); 2].map(|()| {
            let db = seeded(2_000, 40);
            db.client().batch_execute(&seed(2_000, 60)).unwrap();
            db
        });
        db_run(&dbs[0], arguments);
        dbs[1].client().batch_execute(call).unwrap();
        assert_eq!(state(&dbs[0]), state(&dbs[1]), "{call}");
        assert_eq!(anonymized(&dbs[1], arguments), 0);
        let job = "select count(*) from sessctl.job where name = 'anonymize' and runs = 2 and rows_done > 0 and resume_at is not null";
        assert_eq!(number(&mut dbs[1].client(), job), 1);
    }
    let db = seeded(1, 40);
    for call in [
        "call sessctl.run_anonymize(0)",
        "call sessctl.run_anonymize(30, ip => 'hash')",
        "call sessctl.run_anonymize(30, keep => '{ip}')",
    ] {
        let error = db.client().batch_execute(call).unwrap_err();
        assert_eq!(error.code().unwrap().code(), "22023", "{call}");
    }
    assert_eq!(personal(&db), 1);
}

fn db_run(db: &Db, arguments: &[&str]) {
    db.sessctl(&[&["anonymize"], arguments].concat()).ok();
}

#[test]
fn a_dry_run_counts_and_changes_nothing() {
    let db = seeded(1_000, 40);
    let mut client = db.client();
    keep_rows(&mut client);
    db.sessctl(&["anonymize", "--dry-run"])
        .ok()
        .says("would anonymize 1,000 sessions");
    assert_eq!((personal(&db), number(&mut client, OTHERWISE_CHANGED)), (1_000, 0));
    assert_eq!(number(&mut client, "select count(*) from sessctl.run"), 0);
    let job = "select count(*) from sessctl.job where name = 'anonymize' and resume_at is null and full_at is null";
    assert_eq!(number(&mut client, job), 1);
}

#[test]
fn a_second_run_leaves_the_work_to_the_first() {
    let db = seeded(10, 40);
    let mut holder = db.client();
    let mut holding = holder.transaction().unwrap();
    holding.batch_execute("select sessctl.lock_job('anonymize')").unwrap();
    let json = db.sessctl(&["anonymize", "--format", "json"]).ok().json();
    assert_eq!(
        (&json["skipped"], &json["anonymized"]),
        (&true.into(), &0.into()),
        "{json}"
    );
    holding.rollback().unwrap();
    // The other jobs do not wait for it.
    let mut holding = holder.transaction().unwrap();
    holding
        .batch_execute("select sessctl.lock_job('cleanup'), sessctl.lock_job('end-inactive')")
        .unwrap();
    assert_eq!(anonymized(&db, &[]), 10);
}

#[test]
fn what_a_killed_run_has_done_stays_and_the_next_one_goes_on() {
    let db = seeded(1_000, 40);
    let mut client = db.client();
    let mut command = db.command(&["anonymize", "--batch-size", "100", "--pause", "1h"]);
    command.stdout(Stdio::null());
    let child = Running::start(command);
    let done = "select coalesce(sum(rows_done), 0)::bigint from sessctl.run";
    wait_for("the first batch", || (number(&mut client, done) > 0).then_some(()));
    child.signal("-KILL");
    drop(child);
    assert_eq!(personal(&db), 900);
    client
        .batch_execute("update sessctl.run set progress_at = now() - interval '61 seconds' where outcome is null")
        .unwrap();
    let resume = "select count(*) from public.user_sessions where ended_at < (select resume_at from sessctl.job where name = 'anonymize')";
    assert_eq!(number(&mut client, resume), 100);
    assert_eq!(anonymized(&db, &[]), 900);
    assert_eq!(
        number(
            &mut client,
            "select rows_done from sessctl.job where name = 'anonymize'"
        ),
        1_000
    );
}

#[test]
fn a_run_that_met_its_limit_is_continued_behind_what_it_did() {
    let db = seeded(1_000, 40);
    let arguments = [
        "anonymize",
        "--batch-size",
        "100",
        "--max-runtime",
        "1ms",
        "--format",
        "json",
    ];
    let json = db.sessctl(&arguments).ok().json();
    assert_eq!(
        (&json["anonymized"], &json["left"]),
        (&100.into(), &900.into()),
        "{json}"
    );
    let json = db.sessctl(&arguments).ok().json();
    assert_eq!(
        (&json["anonymized"], &json["left"]),
        (&100.into(), &800.into()),
        "{json}"
    );
    assert_eq!(anonymized(&db, &[]), 800);
    assert_eq!(personal(&db), 0);
}

#[test]
fn a_run_with_fewer_days_over_half_of_the_table_must_be_confirmed() {
    let db = seeded(1_000, 40);
    assert_eq!(anonymized(&db, &["--days", "365"]), 0);
    db.sessctl(&["anonymize"])
        .exits(3)
        .says("this would anonymize over half of the table: sessions that ended over 30 days ago, where the last run kept 365 days")
        .says("--yes");
    assert_eq!(personal(&db), 1_000);
    assert_eq!(anonymized(&db, &["--yes"]), 1_000);
    // What is blank already counts no more.
    assert_eq!(anonymized(&db, &["--days", "1"]), 0);
}

#[test]
fn doctor_looks_at_it_where_it_is_used_and_its_hint_names_what_is_kept() {
    let db = seeded(10, 40);
    let check = |db: &Db| {
        let json = Running::start(db.command(&["doctor", "--format", "json"])).end().json();
        let checks = json["checks"].as_array().unwrap();
        checks.iter().find(|line| line["check"] == "anonymize-job").cloned()
    };
    assert_eq!(check(&db), None);
    assert_eq!(anonymized(&db, &["--ip", "truncate", "--keep", "location"]), 10);
    assert_eq!(check(&db).unwrap()["level"], "ok");
    db.client()
        .batch_execute("update sessctl.run set started_at = started_at - interval '3 days', finished_at = finished_at - interval '3 days';
             update sessctl.job set resume_at = resume_at - interval '3 days'")
        .unwrap();
    db.client().batch_execute(&seed(10, 32)).unwrap();
    let late = check(&db).unwrap();
    assert_eq!(late["level"], "problem", "{late}");
    let hint = late["hint"].as_str().unwrap();
    assert!(
        hint.contains("sessctl anonymize --days 30 --ip truncate --keep location"),
        "{hint}"
    );
}

#[test]
fn a_schedule_has_it_only_where_it_is_asked_for() {
    let db = seeded(0, 40);
    let plan = |arguments: &[&str]| {
        let run = db.sessctl(&[&["schedule", "install", "--dry-run"], arguments].concat());
        run.ok().stdout
    };
    assert!(!plan(&[]).contains("anonymize"));
    let line = "select cron.schedule('sessctl-anonymize', '47 * * * *', 'call sessctl.run_anonymize(30)');";
    assert!(plan(&["--anonymize"]).contains(line), "{}", plan(&["--anonymize"]));
    let all = plan(&[
        "--anonymize",
        "7 3 * * *",
        "--anonymize-days",
        "14",
        "--anonymize-ip",
        "truncate",
        "--anonymize-keep",
        "location",
    ]);
    let call = "'call sessctl.run_anonymize(14, ip => ''truncate'', keep => ''{location}'')'";
    assert!(
        all.contains(&format!("'sessctl-anonymize', '7 3 * * *', {call}")),
        "{all}"
    );
    db.sessctl(&["schedule", "install", "--anonymize-days", "14", "--dry-run"])
        .exits(2);
}
