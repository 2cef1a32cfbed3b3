//! Ended sessions with an implausible ended_at, which nothing would ever delete: every run settles them first. And idle ones.

use postgres::Client;
use sessctl::sandbox::Grants;

use crate::common::running::wait_until;
use crate::common::{Db, number};

const USER: &str = "00000000-0000-4000-8000-000000000001";

/// Times that a signed-in user may write.
const FORGED: &str =
    "array[null, 'infinity', '-infinity', '4714-11-24 00:00:00+00 BC', '4714-11-24 00:06:00+00 BC', '0001-01-01',
  '1957-01-01', '2020-01-01', '2099-01-01', '9999-12-31', '294276-12-31 23:59:59.999999+00']::timestamptz[]
  || array[now() - interval '1 day', now() - interval '6 minutes', now() - interval '4 minutes', now(),
       now() + interval '4 minutes', now() + interval '1 hour']";

/// What is implausible, in other words than the schema has it: in seconds, which no time is out of range for.
const IMPLAUSIBLE: &str = "(s.status in ('ended', 'timeout') and (
    s.ended_at is null or not isfinite(s.ended_at)
    or extract(epoch from s.ended_at) > extract(epoch from now()) + 300
    or isfinite(s.started_at) and extract(epoch from s.started_at) <= extract(epoch from now()) + 300
      and extract(epoch from s.ended_at) < extract(epoch from s.started_at) - 300))";

fn db() -> Db {
    let db = Db::migrated(Grants::Closed);
    db.client()
        .execute("insert into auth.users (id) values ($1::text::uuid)", &[&USER])
        .unwrap();
    db
}

/// Sessions whose times are forged at random, the same for a seed.
fn forge(client: &mut Client, seed: &str, rows: u32) {
    client
        .batch_execute(&format!(
            "select setseed({seed});
             insert into public.user_sessions (user_id, session_id, platform, status, total_duration_seconds,
               started_at, ended_at, last_heartbeat_at, last_activity_at, updated_at, created_at)
             select '{USER}', n::text, 'web', (array['active', 'idle', 'ended', 'ended', 'timeout'])[1 + n % 5],
               (array[null, 0, -5, 100])[1 + floor(random() * 4)::int],
               coalesce(forged[1 + floor(random() * 17)::int], now()), forged[1 + floor(random() * 17)::int],
               forged[1 + floor(random() * 17)::int], coalesce(forged[1 + floor(random() * 17)::int], now()),
               coalesce(forged[1 + floor(random() * 17)::int], now()), coalesce(forged[1 + floor(random() * 17)::int], now())
             from generate_series(1, {rows}) as n, (select {FORGED}) as f (forged);
             analyze public.user_sessions;
             create table public.before as select s.*, {IMPLAUSIBLE} as is_implausible from public.user_sessions as s"
        ))
        .unwrap();
}

fn implausible(client: &mut Client) -> i64 {
    let sql = format!("select count(*) from public.user_sessions as s where {IMPLAUSIBLE}");
    number(client, &sql)
}

/// Adds an ended session.
fn one(db: &Db, columns: &str, values: &str) {
    let sql = format!(
        "insert into public.user_sessions (user_id, session_id, platform, status{columns})
         values ('{USER}', 'one', 'web', 'ended'{values})"
    );
    db.client().batch_execute(&sql).unwrap();
}

#[test]
fn what_is_implausible_is_found_by_the_view_and_by_the_list_of_a_run() {
    let db = db();
    let mut client = db.client();
    forge(&mut client, "0.3", 6_000);
    let mut transaction = client.transaction().unwrap();
    let row = transaction
        .query_one(
            &format!(
                "select count(*) filter (where v.is_implausible), count(*) filter (where {IMPLAUSIBLE} <> v.is_implausible),
                   cardinality(sessctl.settle_due(50000))::bigint
                 from public.user_sessions as s join sessctl.ended_last_seen as v on v.row_id = s.ctid"
            ),
            &[],
        )
        .unwrap();
    let (found, wrong, listed): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert!(found > 1_000 && wrong == 0 && listed == found, "{row:?}");
}

#[test]
fn after_settling_every_session_is_plausible_whatever_its_other_times_and_a_second_run_finds_nothing() {
    for (seed, command, batch) in [("0.1", "end-inactive", "5000"), ("0.2", "cleanup", "97")] {
        let db = db();
        let mut client = db.client();
        forge(&mut client, seed, 3_000);
        let unsettled = implausible(&mut client);
        assert!(unsettled > 1_000, "{unsettled}");
        let dry_run = db.sessctl(&[command, "--dry-run", "--format", "json"]).ok().json();
        assert_eq!(dry_run["settled"], unsettled, "{dry_run}");
        let json = db
            .sessctl(&[command, "--batch-size", batch, "--format", "json"])
            .ok()
            .json();
        assert_eq!(json["settled"], unsettled, "{json}");
        assert_eq!(
            (&json["ended"], &json["deleted"]),
            (&dry_run["ended"], &dry_run["deleted"])
        );
        assert_eq!(implausible(&mut client), 0);
        // Nothing else was touched, and no duration that was known.
        let touched = "select count(*) from public.user_sessions as s join public.before as b using (id)
            where b.status in ('ended', 'timeout') and not b.is_implausible and s.updated_at <> b.updated_at
              or b.status in ('ended', 'timeout') and b.total_duration_seconds > 0
                and s.total_duration_seconds is distinct from b.total_duration_seconds";
        assert_eq!(number(&mut client, touched), 0);
        let computed = "select count(*) from public.user_sessions as s join public.before as b using (id)
            where b.is_implausible and coalesce(b.total_duration_seconds, 0) <= 0
              and s.total_duration_seconds is distinct from public.calculate_session_duration(s.started_at, s.ended_at)";
        assert_eq!(number(&mut client, computed), 0);
        for again in ["end-inactive", "cleanup"] {
            let json = db.sessctl(&[again, "--format", "json"]).ok().json();
            assert_eq!(json["settled"], 0, "{json}");
        }
    }
}

#[test]
fn every_entry_point_settles_first_and_records_how_many() {
    let calls = [
        "select sessctl.end_inactive(60)",
        "select sessctl.cleanup(90)",
        "select public.end_inactive_sessions(60)",
        "select public.cleanup_old_sessions(90)",
    ];
    for call in calls {
        let db = db();
        let mut client = db.client();
        forge(&mut client, "0.4", 1_000);
        let unsettled = implausible(&mut client);
        client.batch_execute(call).unwrap();
        assert_eq!(implausible(&mut client), 0, "{call}");
        let recorded = "select rows_settled from sessctl.run where outcome = 'done'";
        assert_eq!(number(&mut client, recorded), unsettled, "{call}");
    }
    let db = db();
    forge(&mut db.client(), "0.4", 1_000);
    let unsettled = implausible(&mut db.client());
    db.sessctl(&["cleanup"]).ok().says(&format!(
        "; settled {unsettled} ended sessions with an implausible ended_at"
    ));
    let status = db.sessctl(&["status", "--format", "json"]).ok().json();
    assert_eq!(status["jobs"][1]["last_run"]["settled"], unsettled, "{status}");
    db.sessctl(&["status"]).ok().says(&format!("{unsettled} settled"));
}

#[test]
fn a_limit_holds_for_the_settling_too() {
    let db = db();
    let mut client = db.client();
    forge(&mut client, "0.5", 1_000);
    let unsettled = implausible(&mut client);
    client.batch_execute("select sessctl.cleanup(90, 50)").unwrap();
    assert_eq!(implausible(&mut client), unsettled - 50);
    assert_eq!(
        number(
            &mut client,
            "select count(*) from sessctl.run where outcome = 'incomplete'"
        ),
        1
    );
}

#[test]
fn a_session_ended_at_its_last_sign_of_life() {
    let db = db();
    let mut client = db.client();
    for (columns, values, expected) in [
        (
            ", started_at, updated_at",
            "'2020-01-01', '2021-05-05'",
            "ended_at = '2021-05-05'",
        ),
        // updated_at comes first, whatever a client wrote elsewhere.
        (
            ", started_at, last_heartbeat_at, updated_at",
            "'2020-01-01', now(), '2021-05-05'",
            "ended_at = '2021-05-05'",
        ),
        (
            ", started_at, updated_at, last_heartbeat_at",
            "'2020-01-01', 'infinity', '2021-05-05'",
            "ended_at = '2021-05-05'",
        ),
        (
            ", started_at, updated_at, last_heartbeat_at, last_activity_at",
            "'2020-01-01', '2099-01-01', null, '2021-05-05'",
            "ended_at = '2021-05-05'",
        ),
        (
            ", started_at, updated_at, last_heartbeat_at, last_activity_at, created_at",
            "'2020-01-01', '2099-01-01', '-infinity', 'infinity', '2021-05-05'",
            "ended_at = '2021-05-05'",
        ),
        // Never before its start.
        (
            ", started_at, updated_at",
            "'2022-02-02', '2021-05-05'",
            "ended_at = '2022-02-02' and total_duration_seconds = 0",
        ),
        (
            ", started_at, updated_at",
            "'2099-01-01', '2021-05-05'",
            "ended_at = '2021-05-05'",
        ),
        (
            ", started_at, updated_at, last_heartbeat_at, last_activity_at, created_at",
            "'infinity', 'infinity', 'infinity', 'infinity', 'infinity'",
            "ended_at between now() - interval '1 minute' and now()",
        ),
        (
            ", started_at, ended_at, updated_at, total_duration_seconds",
            "'2020-01-01', '2019-12-31', '2021-05-05', 77",
            "ended_at = '2021-05-05' and total_duration_seconds = 77",
        ),
    ] {
        one(&db, columns, &format!(", {values}"));
        db.sessctl(&["end-inactive"]).ok();
        let sql = format!("select count(*) from public.user_sessions where {expected}");
        assert_eq!(number(&mut client, &sql), 1, "{columns}: {values}");
        client.batch_execute("delete from public.user_sessions").unwrap();
    }
}

#[test]
fn a_client_that_only_sets_the_status_leaves_nothing_behind() {
    let db = db();
    one(
        &db,
        ", started_at, updated_at, created_at",
        ", now() - interval '1 year', now() - interval '100 days', now() - interval '1 year'",
    );
    let mut alice = db.api("authenticated", Some(USER));
    alice
        .batch_execute(&format!(
            "insert into public.user_sessions (user_id, session_id, platform) values ('{USER}', 'today', 'web');
             update public.user_sessions set status = 'ended' where session_id = 'today'"
        ))
        .unwrap();
    let dry_run = db.sessctl(&["cleanup", "--dry-run", "--format", "json"]).ok().json();
    let json = db.sessctl(&["cleanup", "--format", "json"]).ok().json();
    for json in [dry_run, json] {
        assert_eq!((&json["deleted"], &json["settled"]), (&1.into(), &2.into()), "{json}");
    }
    let left = "select count(*) from public.user_sessions where session_id = 'today' and ended_at <= now()";
    assert_eq!(number(&mut db.client(), left), 1);
}

#[test]
fn a_cleanup_with_fewer_days_counts_what_it_settles_first_before_it_deletes() {
    let db = db();
    db.sessctl(&["cleanup", "--days", "365"]).ok();
    one(
        &db,
        ", started_at, updated_at",
        ", now() - interval '1 year', now() - interval '100 days'",
    );
    db.sessctl(&["cleanup"])
        .exits(3)
        .says("this would delete over half of the table");
    assert_eq!(implausible(&mut db.client()), 1);
    db.sessctl(&["cleanup", "--yes"]).ok().says("deleted 1 session");
}

#[test]
fn a_cleanup_never_deletes_by_an_ended_at_that_is_implausible() {
    let db = db();
    one(&db, ", ended_at", ", now() - interval '1 year'");
    let mut holder = db.client();
    let mut holding = holder.transaction().unwrap();
    holding
        .batch_execute("select from public.user_sessions for no key update")
        .unwrap();
    let json = db.sessctl(&["cleanup", "--format", "json"]).ok().json();
    assert_eq!(
        (&json["deleted"], &json["settled"], &json["left"]),
        (&0.into(), &0.into(), &1.into())
    );
    holding.rollback().unwrap();
    let old = "select sessctl.cleanup_batch(now() - interval '90 days', 100)";
    db.client().batch_execute(old).unwrap();
    assert_eq!(number(&mut db.client(), "select count(*) from public.user_sessions"), 1);
}

/// 3,000 sessions that only a client ended.
fn without_an_end() -> Db {
    let db = db();
    let sql = format!(
        "insert into public.user_sessions (user_id, session_id, platform, status)
         select '{USER}', 'ended' || n, 'web', 'ended' from generate_series(1, 3000) as n;
         analyze public.user_sessions"
    );
    db.client().batch_execute(&sql).unwrap();
    db
}

#[test]
fn sessions_that_can_not_be_settled_are_named_and_never_stop_the_others() {
    for command in ["end-inactive", "cleanup"] {
        let db = without_an_end();
        let mut client = db.client();
        client
            .batch_execute(
                "alter table public.user_sessions add constraint never check (session_id <> 'ended7' or ended_at is null)",
            )
            .unwrap();
        let id: String = client
            .query_one(
                "select id::text from public.user_sessions where session_id = 'ended7'",
                &[],
            )
            .unwrap()
            .get(0);
        let run = db.sessctl(&[command, "--format", "json"]).exits(3);
        let json = run.json();
        assert_eq!((&json["settled"], &json["failed"]), (&2_999.into(), &1.into()));
        run.says(&format!("1 session ({id}): constraint never of table user_sessions"));
        assert_eq!(implausible(&mut client), 1);
        // The functions that are one transaction divide too.
        client
            .batch_execute("update public.user_sessions set ended_at = null")
            .unwrap();
        let call = if command == "cleanup" {
            "cleanup(90)"
        } else {
            "end_inactive(60)"
        };
        client.batch_execute(&format!("select sessctl.{call}")).unwrap();
        assert_eq!(implausible(&mut client), 1);
        let recorded = "select count(*) from sessctl.run
            where rows_settled = 2999 and rows_failed = 1 and outcome = 'failed' and message like '%never%'";
        assert_eq!(number(&mut client, recorded), 2);
    }
}

#[test]
fn a_trigger_that_prevents_the_settling_is_named_and_the_work_is_done() {
    let db = without_an_end();
    let mut client = db.client();
    client
        .batch_execute(&format!(
            "insert into public.user_sessions (user_id, session_id, platform, last_heartbeat_at)
             values ('{USER}', 'inactive', 'web', now() - interval '5 hours');
             create function public.keep() returns trigger language plpgsql as $$
             begin
               if old.status = 'ended' then new.ended_at := old.ended_at; end if;
               return new;
             end $$;
             create trigger keep before update on public.user_sessions for each row execute function public.keep()"
        ))
        .unwrap();
    let run = db.sessctl(&["end-inactive", "--format", "json"]).exits(3);
    let json = run.json();
    assert_eq!(
        (&json["ended"], &json["settled"], &json["failed"]),
        (&1.into(), &0.into(), &3_000.into())
    );
    run.says("3,000 sessions: trigger keep on user_sessions prevented their update");
}

#[test]
fn locked_sessions_are_left_and_counted_and_the_others_are_settled() {
    let db = without_an_end();
    let mut holder = db.client();
    let mut holding = holder.transaction().unwrap();
    holding
        .batch_execute("select from public.user_sessions where session_id = 'ended7' for update")
        .unwrap();
    for (command, settled) in [("end-inactive", 2_999), ("cleanup", 0)] {
        let json = db.sessctl(&[command, "--format", "json"]).ok().json();
        assert_eq!(
            (&json["settled"], &json["left"]),
            (&settled.into(), &1.into()),
            "{json}"
        );
    }
}

#[test]
fn no_run_reads_the_whole_of_a_large_table() {
    let db = db();
    let mut client = db.client();
    let sql = format!(
        "insert into public.user_sessions
           (user_id, session_id, platform, status, started_at, last_heartbeat_at, updated_at, ended_at)
         select '{USER}', n::text, 'web', case when n % 1000 = 0 then 'active' when n % 1000 = 1 then 'idle' else 'ended' end,
           now() - interval '10 days', now() - interval '2 hours', now() - interval '9 days',
           case n % 1000 when 2 then null when 3 then 'infinity' when 4 then '-infinity' when 5 then '2099-01-01'
             when 6 then now() - interval '11 days' else now() - interval '9 days' end
         from generate_series(1, 30000) as n;
         -- No run needs these.
         drop index public.idx_user_sessions_status, public.idx_user_sessions_platform, public.idx_user_sessions_started_at,
           public.idx_user_sessions_last_activity;
         analyze public.user_sessions"
    );
    client.batch_execute(&sql).unwrap();
    let mut looks = |what: &str| {
        let sql =
            format!("select coalesce(sum({what}), 0)::bigint from pg_stat_user_tables where relname = 'user_sessions'");
        number(&mut client, &sql)
    };
    let whole = looks("seq_scan");
    for (arguments, key, count) in [
        (&["end-inactive", "--dry-run"][..], "settled", 150),
        (&["end-inactive"], "settled", 150),
        (&["end-inactive", "--include-idle"], "ended", 30),
        (&["end-inactive", "--include-idle"], "ended", 0),
        (&["cleanup", "--dry-run"], "deleted", 0),
        (&["cleanup", "--days", "8"], "deleted", 29_940),
        (&["cleanup", "--days", "8"], "deleted", 0),
    ] {
        let by_index = looks("idx_scan");
        let json = db.sessctl(&[arguments, &["--format", "json"]].concat()).ok().json();
        assert_eq!(json[key], count, "{arguments:?}: {json}");
        // The server counts when a process ends.
        wait_until("the statistics", || looks("idx_scan") > by_index);
        assert_eq!(looks("seq_scan"), whole, "{arguments:?}");
    }
    let idle = "select idx_scan from pg_stat_user_indexes where indexrelname = 'idx_user_sessions_idle'";
    assert!(number(&mut db.client(), idle) > 0);
}

#[test]
fn what_a_client_inserts_never_fails_by_an_index_of_ours() {
    let db = db();
    let mut alice = db.api("authenticated", Some(USER));
    let sql = format!(
        "insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
         select '{USER}', row_number() over (), 'web', 'ended', coalesce(s, now()), e
         from (select {FORGED}) as f (forged), unnest(f.forged) as s, unnest(f.forged) as e"
    );
    alice.batch_execute(&sql).unwrap();
    assert_eq!(
        number(&mut db.client(), "select count(*) from public.user_sessions"),
        17 * 17
    );
}

#[test]
fn doctor_counts_what_no_run_has_settled_or_ended_and_what_was_backdated() {
    let db = db();
    let found = |check: &str| crate::doctor::checks(&db.sessctl(&["doctor", "--format", "json"]))[check].clone();
    for check in ["idle", "implausible-end", "backdated"] {
        assert_eq!(found(check).0, "ok", "{check}");
    }
    let sql = format!(
        "insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at, last_heartbeat_at) values
           ('{USER}', 'no end', 'web', 'ended', now(), null, now()),
           ('{USER}', 'no start', 'web', 'timeout', now(), '2099-01-01', now()),
           ('{USER}', 'backdated', 'web', 'ended', now() - interval '2 days', now() - interval '25 hours', now()),
           ('{USER}', 'idle', 'web', 'idle', now(), null, now() - interval '2 hours')"
    );
    db.client().batch_execute(&sql).unwrap();
    let (level, message, hint) = found("implausible-end");
    assert_eq!(
        (level.as_str(), message.as_str()),
        ("warning", "2 ended sessions with an implausible ended_at")
    );
    assert!(
        hint.starts_with("run sessctl end-inactive --minutes 60, which settles them"),
        "{hint}"
    );
    assert_eq!(
        found("idle").1,
        "1 idle session not seen for over an hour, and no job ends idle sessions"
    );
    assert_eq!(
        found("backdated").1,
        "1 ended session whose ended_at is over a day before created_at"
    );
    // A job that ends idle sessions has its time to come again.
    db.sessctl(&["end-inactive", "--minutes", "240", "--include-idle"]).ok();
    assert_eq!(found("implausible-end").0, "ok");
    let idle = || {
        let arguments = ["doctor", "--minutes", "60", "--expect-every", "40m", "--format", "json"];
        crate::doctor::checks(&db.sessctl(&arguments))["idle"].0.clone()
    };
    assert_eq!(idle(), "ok");
    db.sessctl(&["end-inactive", "--minutes", "240"]).ok();
    assert_eq!(idle(), "warning");
}

#[test]
fn doctor_finds_few_unsettled_sessions_in_a_large_table() {
    let db = Db::migrated(Grants::Closed);
    db.client().batch_execute(crate::doctor::LARGE).unwrap();
    db.client()
        .batch_execute(
            "update public.user_sessions set ended_at = null where session_id = '11';
             update public.user_sessions set ended_at = 'infinity' where session_id = '13';
             update public.user_sessions set ended_at = '-infinity' where session_id = '15';
             update public.user_sessions set ended_at = '2020-01-01' where session_id = '17'",
        )
        .unwrap();
    let found = crate::doctor::checks(&db.sessctl(&["doctor", "--format", "json"]));
    assert_eq!(
        found["implausible-end"].1,
        "4 ended sessions with an implausible ended_at"
    );
    assert_eq!(found["idle"].1, "none");
}

/// A month's sessions, written by a signed-in user: each status with each forged time in each column, and in all of them.
const MONTH: &str = "
  insert into public.user_sessions (user_id, session_id, platform, status,
    started_at, ended_at, last_heartbeat_at, last_activity_at, updated_at, created_at)
  select (select auth.uid()), gen_random_uuid(), 'web', status,
    coalesce(case when forged_column in (0, 6) then t else now() end, now()),
    case when forged_column in (1, 6) then t when status in ('ended', 'timeout') then now() end,
    case when forged_column in (2, 6) then t else now() end,
    coalesce(case when forged_column in (3, 6) then t else now() end, now()),
    coalesce(case when forged_column in (4, 6) then t else now() end, now()),
    coalesce(case when forged_column in (5, 6) then t else now() end, now())
  from unnest(array['active', 'idle', 'ended', 'timeout']) as status, generate_series(0, 6) as forged_column,
    (select FORGED) as f (forged), unnest(f.forged) as t;
  update public.user_sessions set status = 'ended' where status = 'active' and session_id < '2';
  update public.user_sessions set status = 'idle' where session_id between '2' and '3';
  update public.user_sessions set status = 'active' where session_id between '3' and '4';
  update public.user_sessions set status = 'ended', ended_at = 'infinity' where session_id between '4' and '5'";

/// Moves time on by thirty days: all times are so much older. Infinite ones stay, and those that would be out of range.
const MOVE_ON: &str = "
  set session_replication_role = replica;
  update public.user_sessions set (started_at, ended_at, last_heartbeat_at, last_activity_at, updated_at, created_at) = (
    select moved[1], moved[2], moved[3], moved[4], moved[5], moved[6]
    from (
      select array_agg(case when t > '4000-01-01 BC' then t - interval '30 days' else t end order by n)
      from unnest(array[started_at, ended_at, last_heartbeat_at, last_activity_at, updated_at, created_at])
        with ordinality as times (t, n)
    ) as m (moved))";

#[test]
fn a_year_of_clients_that_write_whatever_they_may_ends_with_an_empty_table() {
    let db = db();
    let (mut admin, mut client) = (db.admin(), db.client());
    let mut alice = db.api("authenticated", Some(USER));
    let month = MONTH.replace("FORGED", FORGED);
    for month_number in 0..17 {
        if month_number < 12 {
            alice.batch_execute(&month).unwrap();
        }
        for command in [&["end-inactive", "--include-idle"][..], &["cleanup", "--days", "90"]] {
            db.sessctl(command).ok();
        }
        let undone = format!(
            "select count(*) from public.user_sessions as s where {IMPLAUSIBLE}
             or s.status in ('ended', 'timeout') and s.ended_at < now() - interval '90 days'"
        );
        assert_eq!(number(&mut client, &undone), 0, "month {month_number}");
        admin.batch_execute(MOVE_ON).unwrap();
    }
    assert_eq!(number(&mut client, "select count(*) from public.user_sessions"), 0);
    let json = db.sessctl(&["doctor", "--format", "json"]).ok().json();
    assert_eq!(json["ok"], true, "{json}");
}
