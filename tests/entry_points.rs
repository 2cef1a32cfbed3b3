//! The database's own entry points: the procedures that pg_cron calls, and the functions that the API and psql call.

use std::thread;

use postgres::error::SqlState;
use postgres::{Client, NoTls};
use sessctl::sandbox::Grants;

use crate::common::running::wait_until;
use crate::common::{Db, number, server};

/// 3,000 active sessions that were last seen long ago, and 3,000 that ended long ago, at moments of their own.
const SEED: &str = "
  insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
  insert into public.user_sessions (user_id, session_id, platform, last_heartbeat_at)
  select '00000000-0000-4000-8000-000000000001', 'inactive' || n, 'web', now() - interval '190 days'
  from generate_series(1, 3000) n;
  insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
  select '00000000-0000-4000-8000-000000000001', 'old' || n, 'web', 'ended', now() - interval '191 days',
    now() - interval '190 days' + n * interval '1 second'
  from generate_series(1, 3000) n;
  analyze public.user_sessions";

const ACTIVE: &str = "select count(*) from public.user_sessions where status = 'active'";
const OLD: &str = "select count(*) from public.user_sessions where session_id like 'old%'";

/// Each job: its procedure, its functions, and what it has not done yet.
const JOBS: [(&str, &str, &str, &str); 2] = [
    (
        "end-inactive",
        "call sessctl.run_end_inactive(60)",
        "select public.end_inactive_sessions(60)",
        ACTIVE,
    ),
    (
        "cleanup",
        "call sessctl.run_cleanup(90)",
        "select public.cleanup_old_sessions(90)",
        OLD,
    ),
];

fn seeded(sql: &str) -> Db {
    let db = Db::migrated(Grants::Closed);
    db.client().batch_execute(SEED).unwrap();
    db.client().batch_execute(sql).unwrap();
    db
}

/// The newest run of a job: rows done, rows that failed, rows left, outcome, message.
fn last_run(client: &mut Client, job: &str) -> (i64, i64, Option<i64>, String, String) {
    let sql =
        "select r.rows_done, r.rows_failed, r.rows_left, coalesce(r.outcome, 'unfinished'), coalesce(r.message, '')
        from sessctl.run r where r.job = $1 order by r.started_at desc limit 1";
    let row = client.query_one(sql, &[&job]).unwrap();
    (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))
}

fn count(client: &mut Client, call: &str) -> i32 {
    client
        .query_one(call, &[])
        .unwrap_or_else(|e| panic!("{call}: {e:?}"))
        .get(0)
}

/// Calls a procedure that must fail at its end, with this in the message.
#[track_caller]
fn fails(client: &mut Client, call: &str, message: &str) {
    let error = client.batch_execute(call).expect_err(call);
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "SC003", "{error:?}");
    assert!(error.message().contains(message), "{}", error.message());
}

/// A trigger that raises for the sessions of this condition.
fn refusing(condition: &str) -> String {
    format!(
        "create sequence public.refusals;
         create function public.refuse() returns trigger language plpgsql as $$
         begin
           if {condition} then
             perform nextval('public.refusals');
             raise exception 'not this one' using errcode = '42501';
           end if;
           return coalesce(new, old);
         end $$;
         create trigger refuse before update or delete on public.user_sessions
           for each row execute function public.refuse()"
    )
}

/// A trigger that takes so many milliseconds for each session.
fn slow(milliseconds: u32) -> String {
    format!(
        "create function public.slow() returns trigger language plpgsql as
           $$ begin perform pg_sleep({milliseconds} / 1000.0); return coalesce(new, old); end $$;
         create trigger slow before update or delete on public.user_sessions for each row execute function public.slow()"
    )
}

#[test]
fn procedures_and_functions_do_the_whole_work_and_record_it() {
    for (job, procedure, function, left) in JOBS {
        let db = seeded("");
        let mut client = db.client();
        client.batch_execute(procedure).unwrap();
        assert_eq!(number(&mut client, left), 0, "{job}");
        assert_eq!(
            last_run(&mut client, job),
            (3000, 0, None, "done".into(), String::new())
        );
        let batches = "select max(batches)::bigint from sessctl.run";
        assert!(number(&mut client, batches) > 1);
        client.batch_execute(procedure).unwrap();
        assert_eq!(last_run(&mut client, job).0, 0);

        let db = seeded("");
        let mut client = db.client();
        assert_eq!(count(&mut client, function), 3000);
        assert_eq!(
            last_run(&mut client, job),
            (3000, 0, None, "done".into(), String::new())
        );
        assert_eq!(count(&mut client, function), 0);
    }
}

#[test]
fn what_a_procedure_has_committed_stays_when_it_is_cancelled() {
    for (job, procedure, _, left) in JOBS {
        let db = seeded(&slow(2));
        let mut client = db.client();
        let cancel = client.cancel_token();
        let call = thread::spawn(move || client.batch_execute(procedure));
        let mut other = db.client();
        wait_until("a batch that others see", || {
            number(
                &mut other,
                "select coalesce(sum(rows_done), 0)::bigint from sessctl.run",
            ) > 0
        });
        cancel.cancel_query(NoTls).unwrap();
        let error = call.join().unwrap().unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
        let (done, _, _, outcome, _) = last_run(&mut other, job);
        assert_eq!(outcome, "unfinished");
        assert!(done > 0 && done < 3000, "{done}");
        assert_eq!(number(&mut other, left), 3000 - done, "{job}");
    }
}

#[test]
fn under_a_statement_timeout_each_call_of_a_function_makes_progress_and_so_does_a_procedure() {
    for (job, procedure, function, left) in JOBS {
        let db = seeded(&slow(2));
        let mut client = db.client();
        client.batch_execute("set statement_timeout = '3s'").unwrap();
        let first = count(&mut client, function);
        assert!(first > 0 && first < 3000, "{first}");
        assert_eq!(last_run(&mut client, job).3, "incomplete");
        client.batch_execute(procedure).unwrap();
        let (done, _, _, outcome, _) = last_run(&mut client, job);
        assert_eq!(outcome, "incomplete");
        assert!(done > 0, "{done} after {first}");
        let before = number(&mut client, left);
        assert_eq!(before, 3000 - i64::from(first) - done);
        while number(&mut client, left) > 0 {
            assert!(count(&mut client, function) > 0);
        }
        // The call that did the last ones may have been out of time before it saw that none was left.
        assert_eq!(count(&mut client, function), 0);
        assert_eq!(last_run(&mut client, job).3, "done");
        // No setting of the caller's was changed.
        let setting: String = client.query_one("show statement_timeout", &[]).unwrap().get(0);
        assert_eq!(setting, "3s");
    }
}

#[test]
fn a_transaction_timeout_counts_from_the_start_of_the_transaction() {
    let db = seeded(&slow(1));
    let mut client = db.client();
    let exists = "select count(*) from pg_settings where name = 'transaction_timeout'";
    if number(&mut client, exists) == 0 {
        crate::common::not_run(&format!(
            "transaction_timeout came with PostgreSQL 17, this is {}",
            server().bindir().display()
        ));
        return;
    }
    client.batch_execute("set transaction_timeout = '2s'").unwrap();
    for (job, procedure, function, left) in JOBS {
        let first = count(&mut client, function);
        assert!(first > 0 && first < 3000, "{first}");
        client.batch_execute("begin; select pg_sleep(1.1)").unwrap();
        assert_eq!(count(&mut client, function), 0);
        client.batch_execute("commit").unwrap();
        assert_eq!(last_run(&mut client, job).3, "incomplete");
        // A procedure's transactions are its batches.
        client.batch_execute(procedure).unwrap();
        assert_eq!(number(&mut client, left), 0);
    }
}

#[test]
fn a_procedure_ends_at_its_own_limit_and_the_next_call_goes_on() {
    for (job, limited, procedure, left) in [
        (
            "end-inactive",
            "call sessctl.run_end_inactive(60, max_runtime => '200 milliseconds')",
            "call sessctl.run_end_inactive(60)",
            ACTIVE,
        ),
        (
            "cleanup",
            "call sessctl.run_cleanup(90, max_runtime => '200 milliseconds')",
            "call sessctl.run_cleanup(90)",
            OLD,
        ),
    ] {
        let db = seeded(&slow(1));
        let mut client = db.client();
        client.batch_execute(limited).unwrap();
        let (done, _, _, outcome, _) = last_run(&mut client, job);
        assert_eq!(outcome, "incomplete");
        assert!(done > 0 && done < 3000, "{done}");
        client.batch_execute(procedure).unwrap();
        assert_eq!(number(&mut client, left), 0);
        assert_eq!(last_run(&mut client, job).3, "done");
    }
}

#[test]
fn sessions_that_a_foreign_key_keeps_stop_nobody() {
    for child in [
        "references public.user_sessions (id)",
        "references public.user_sessions (id) on delete restrict",
        "references public.user_sessions (id) deferrable initially deferred",
    ] {
        let keep = format!(
            "create table public.events (id bigint generated always as identity primary key, session uuid {child});
             create index on public.events (session);
             insert into public.events (session)
             select id from public.user_sessions where session_id like 'old%' order by ended_at limit 250"
        );
        let message = "250 sessions: kept by constraint events_session_fkey of table public.events";
        let db = seeded(&keep);
        let mut client = db.client();
        fails(&mut client, "call sessctl.run_cleanup(90)", message);
        assert_eq!(number(&mut client, OLD), 250);
        let (done, failed, _, outcome, text) = last_run(&mut client, "cleanup");
        assert_eq!((done, failed, outcome.as_str()), (2750, 250, "failed"));
        assert_eq!(text, message);
        client
            .batch_execute("call sessctl.run_cleanup(90, keep_referenced => true)")
            .unwrap();
        assert_eq!(last_run(&mut client, "cleanup").3, "done");

        let db = seeded(&keep);
        let mut client = db.client();
        assert_eq!(count(&mut client, "select public.cleanup_old_sessions(90)"), 2750);
        let (_, failed, _, outcome, text) = last_run(&mut client, "cleanup");
        assert_eq!((failed, outcome.as_str()), (250, "failed"));
        assert!(text.contains("events_session_fkey"), "{text}");
    }
}

#[test]
fn rows_that_a_trigger_refuses_are_named_and_the_others_are_done() {
    let refuse = refusing("old.session_id in ('old5', 'old2999', 'inactive7')");
    let db = seeded(&refuse);
    let mut client = db.client();
    let key = |client: &mut Client, session: &str| -> String {
        let sql = "select id::text from public.user_sessions where session_id = $1";
        client.query_one(sql, &[&session]).unwrap().get(0)
    };
    let (old5, old2999) = (key(&mut client, "old5"), key(&mut client, "old2999"));
    let inactive7 = key(&mut client, "inactive7");
    fails(
        &mut client,
        "call sessctl.run_cleanup(90)",
        &format!("cleanup: 2 sessions ({old5}, {old2999}): function public.refuse(): not this one"),
    );
    fails(
        &mut client,
        "call sessctl.run_end_inactive(60)",
        &format!("end-inactive: 1 session ({inactive7}): function public.refuse(): not this one"),
    );
    assert_eq!((number(&mut client, OLD), number(&mut client, ACTIVE)), (2, 1));
    assert_eq!(last_run(&mut client, "cleanup").1, 2);

    // In one transaction the attempts are few: the next calls do the rest.
    let db = seeded(&refuse);
    let mut client = db.client();
    for (job, _, function, left) in JOBS {
        for call in 0..8 {
            let done = count(&mut client, function);
            assert!(call > 0 || done > 2000, "{done}");
            let (_, _, _, outcome, message) = last_run(&mut client, job);
            assert_eq!(outcome, "failed");
            assert!(
                call > 0 || message.contains("function public.refuse(): not this one"),
                "{message}"
            );
        }
        let failing = if job == "cleanup" { 2 } else { 1 };
        assert_eq!(number(&mut client, left), failing);
        assert_eq!(last_run(&mut client, job).1, failing);
    }
}

#[test]
fn many_refused_rows_among_the_first_do_not_keep_a_procedure_from_the_others() {
    for condition in [
        // The oldest ones.
        "substring(old.session_id from '[0-9]+')::int <= 250",
        // Scattered.
        "substring(old.session_id from '[0-9]+')::int % 12 = 0",
    ] {
        let db = seeded(&refusing(condition));
        let mut client = db.client();
        for (job, procedure, _, left) in JOBS {
            fails(&mut client, procedure, "function public.refuse(): not this one");
            let (done, failed, _, outcome, _) = last_run(&mut client, job);
            assert_eq!(
                (done, failed, outcome.as_str()),
                (2750, 250, "failed"),
                "{job} {condition}"
            );
            assert_eq!(number(&mut client, left), 250);
        }
    }
}

#[test]
fn the_same_failing_sessions_are_counted_and_left_whatever_runs_the_job() {
    let number_of = "substring(old.session_id from '[0-9]+')::int";
    for (condition, failing) in [
        ("<= 40", 40),
        ("in (7, 1500, 2999)", 3),
        ("% 100 = 0", 30),
        ("> 0", 3000),
    ] {
        for (index, (job, procedure, function, left)) in JOBS.into_iter().enumerate() {
            let seeded = || seeded(&refusing(&format!("{number_of} {condition}")));
            let expected = (3000 - failing, failing, None, "failed".to_owned());
            let recorded = |db: &Db| {
                let (done, failed, left, outcome, _) = last_run(&mut db.client(), job);
                (done, failed, left, outcome)
            };

            let db = seeded();
            let run = db.sessctl(&[job, "--format", "json"]).exits(3);
            let json = run.json();
            assert_eq!(
                (&json[["ended", "deleted"][index]], &json["failed"], &json["left"]),
                (&(3000 - failing).into(), &failing.into(), &serde_json::Value::Null),
                "{job} {condition}: {}",
                run.stderr
            );
            assert_eq!(recorded(&db), expected, "{job} {condition}, the program");

            let db = seeded();
            let mut client = db.client();
            fails(&mut client, procedure, "function public.refuse(): not this one");
            assert_eq!(recorded(&db), expected, "{job} {condition}, the procedure");

            // In one transaction the attempts are few: the next calls do the rest.
            let db = seeded();
            let mut client = db.client();
            let mut calls = 0;
            while number(&mut client, left) > failing {
                count(&mut client, function);
                calls += 1;
                assert!(calls < 500, "{job} {condition}: {} are left", number(&mut client, left));
            }
            count(&mut client, function);
            assert_eq!(number(&mut client, left), failing);
            assert_eq!(last_run(&mut client, job).3, "failed");
        }
    }
}

#[test]
fn where_all_rows_fail_a_run_ends_after_few_attempts() {
    for (job, procedure, function, left) in JOBS {
        let db = seeded(&refusing("true"));
        let mut client = db.client();
        fails(&mut client, procedure, "function public.refuse(): not this one");
        assert_eq!(last_run(&mut client, job).1, 3000);
        let attempts = number(&mut client, "select last_value from public.refusals");
        assert!(attempts < 400, "{attempts}");
        assert_eq!(count(&mut client, function), 0);
        assert_eq!(last_run(&mut client, job).3, "failed");
        assert_eq!(number(&mut client, left), 3000);
    }
}

#[test]
fn a_function_takes_at_most_32_subtransactions() {
    for condition in ["false", "old.session_id like '%9'", "true"] {
        let db = seeded(&refusing(condition));
        let mut client = db.client();
        // Each subtransaction that ends sessions leaves its number on them.
        let done = count(&mut client, "select sessctl.end_inactive(60)");
        let committed = number(
            &mut client,
            "select count(distinct xmin::text) from public.user_sessions where status = 'timeout'",
        );
        let refused = number(
            &mut client,
            "select case when is_called then last_value else 0 end from public.refusals",
        );
        assert!(done > 0 || condition == "true");
        // One for the batch, one for each of its attempts.
        assert!(2 * (committed + refused) <= 32, "{committed} + {refused}, {condition}");
    }
}

#[test]
fn a_trigger_that_prevents_the_work_is_named() {
    for (kind, sql, job, verb) in [
        (
            "trigger",
            "create function public.keep() returns trigger language plpgsql as 'begin return null; end';
             create trigger keep before delete on public.user_sessions for each row execute function public.keep()",
            1,
            "deletion",
        ),
        (
            "rule",
            "create rule keep as on delete to public.user_sessions do instead nothing",
            1,
            "deletion",
        ),
        (
            "trigger",
            "create function public.keep() returns trigger language plpgsql as
               'begin new.status := old.status; return new; end';
             create trigger keep before update on public.user_sessions for each row execute function public.keep()",
            0,
            "update",
        ),
    ] {
        let (job, procedure, function, left) = JOBS[job];
        let db = seeded(sql);
        let mut client = db.client();
        let message = format!("3,000 sessions: {kind} keep on user_sessions prevented their {verb}");
        fails(&mut client, procedure, &message);
        let run = (0, 3000, None, "failed".to_owned(), message);
        assert_eq!(last_run(&mut client, job), run);
        assert_eq!(count(&mut client, function), 0);
        assert_eq!(last_run(&mut client, job), run);
        assert_eq!(number(&mut client, left), 3000);
    }
}

#[test]
fn an_error_that_no_batch_avoids_is_recorded_and_ends_the_run_at_once() {
    let db = seeded(
        "create function public.audit() returns trigger language plpgsql as
           'begin insert into audit_log values (1); return coalesce(new, old); end';
         create trigger audit before update or delete on public.user_sessions for each row execute function public.audit()",
    );
    let mut client = db.client();
    let message = "function public.audit(): relation \"audit_log\" does not exist";
    for (job, procedure, function, left) in JOBS {
        fails(&mut client, procedure, message);
        assert_eq!(
            last_run(&mut client, job),
            (0, 0, None, "failed".into(), message.into())
        );
        let error = client.batch_execute(function).unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::UNDEFINED_TABLE));
        assert_eq!(number(&mut client, left), 3000);
    }
}

#[test]
fn locked_sessions_are_left_and_counted() {
    for (job, procedure, function, left) in JOBS {
        let db = seeded("");
        let (mut holder, mut client) = (db.client(), db.client());
        let mut holding = holder.transaction().unwrap();
        holding
            .batch_execute("select from public.user_sessions where session_id in ('old17', 'inactive17') for update")
            .unwrap();
        client.batch_execute(procedure).unwrap();
        assert_eq!(
            last_run(&mut client, job),
            (2999, 0, Some(1), "done".into(), String::new())
        );
        assert_eq!(count(&mut client, function), 0);
        assert_eq!(last_run(&mut client, job).2, Some(1));
        holding.rollback().unwrap();
        client.batch_execute(procedure).unwrap();
        assert_eq!(number(&mut client, left), 0);
    }
}

#[test]
fn a_table_that_somebody_has_locked_fails_the_procedure_and_the_function() {
    let db = seeded("");
    let (mut holder, mut client) = (db.client(), db.client());
    let mut holding = holder.transaction().unwrap();
    holding
        .batch_execute("lock table public.user_sessions in share mode")
        .unwrap();
    for (job, procedure, function, _) in JOBS {
        fails(&mut client, procedure, "canceling statement due to lock timeout");
        assert_eq!(last_run(&mut client, job).3, "failed");
        let error = client.batch_execute(function).unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE));
    }
}

#[test]
fn a_rolled_back_call_of_a_function_leaves_nothing_and_a_procedure_refuses_a_transaction_block() {
    let db = seeded("");
    let mut client = db.client();
    for (_, procedure, function, left) in JOBS {
        let mut transaction = client.transaction().unwrap();
        assert_eq!(transaction.query_one(function, &[]).unwrap().get::<_, i32>(0), 3000);
        transaction.rollback().unwrap();
        let mut transaction = client.transaction().unwrap();
        let error = transaction.batch_execute(procedure).unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INVALID_TRANSACTION_TERMINATION));
        drop(transaction);
        assert_eq!(number(&mut client, left), 3000);
    }
    assert_eq!(number(&mut client, "select count(*) from sessctl.run"), 0);
}

#[test]
fn procedures_work_under_any_isolation_level_of_the_role() {
    for level in ["repeatable read", "serializable"] {
        let db = seeded("");
        let mut client = db.client();
        client
            .batch_execute(&format!("set default_transaction_isolation = '{level}'"))
            .unwrap();
        let mut other = db.client();
        for (_, procedure, _, left) in JOBS {
            client.batch_execute(procedure).unwrap();
            assert_eq!(number(&mut other, left), 0, "{level}");
        }
    }
}

/// A heartbeat comes between two batches: under another level the next batch would fail.
#[test]
fn a_heartbeat_beside_a_procedure_of_a_serializable_role_stops_nothing() {
    let db = seeded(&slow(1));
    let mut client = db.client();
    client
        .batch_execute("set default_transaction_isolation = 'serializable'")
        .unwrap();
    let mut other = db.client();
    let call = thread::spawn(move || client.batch_execute("call sessctl.run_end_inactive(60)"));
    let mut beats = 0;
    while !call.is_finished() {
        let sql = "update public.user_sessions set last_heartbeat_at = now() - interval '100 days'
            where session_id = 'inactive' || (1 + floor(3000 * random()))::int and status = 'active'";
        beats += other.execute(sql, &[]).unwrap();
    }
    call.join().unwrap().unwrap();
    assert!(beats > 10, "{beats}");
    let (done, failed, ..) = last_run(&mut other, "end-inactive");
    assert_eq!((done, failed), (3000, 0));
}

#[test]
fn of_two_at_once_one_does_the_work() {
    for (job, procedure, function, left) in JOBS {
        let db = seeded(&slow(2));
        let (mut first, mut second) = (db.client(), db.client());
        let call = thread::spawn(move || first.batch_execute(procedure));
        wait_until("a batch that others see", || {
            number(
                &mut second,
                "select coalesce(sum(rows_done), 0)::bigint from sessctl.run",
            ) > 0
        });
        second.batch_execute(procedure).unwrap();
        assert_eq!(count(&mut second, function), 0);
        let skipped = "select count(*) from sessctl.run where outcome = 'skipped' and rows_done = 0";
        assert_eq!(number(&mut second, skipped), 2, "{job}");
        call.join().unwrap().unwrap();
        assert_eq!(number(&mut second, left), 0);
    }
}

#[test]
fn idle_sessions_are_ended_where_the_caller_says_so() {
    let db = seeded("update public.user_sessions set status = 'idle' where session_id like 'inactive%'");
    let mut client = db.client();
    let idle = "select count(*) from public.user_sessions where status = 'idle'";
    client.batch_execute("call sessctl.run_end_inactive(60)").unwrap();
    assert_eq!(count(&mut client, "select public.end_inactive_sessions(60)"), 0);
    assert_eq!(number(&mut client, idle), 3000);
    assert_eq!(
        count(
            &mut client,
            "select sessctl.end_inactive(60, 100, include_idle => true)"
        ),
        100
    );
    client
        .batch_execute("call sessctl.run_end_inactive(60, include_idle => true)")
        .unwrap();
    assert_eq!(number(&mut client, idle), 0);
}

#[test]
fn arguments_out_of_range_are_refused() {
    let db = seeded("");
    let mut client = db.client();
    for call in [
        "call sessctl.run_end_inactive(0)",
        "call sessctl.run_end_inactive(null)",
        "call sessctl.run_cleanup(36501)",
        "call sessctl.run_cleanup(-1)",
    ] {
        let error = client.batch_execute(call).expect_err(call);
        assert_eq!(error.code(), Some(&SqlState::INVALID_PARAMETER_VALUE), "{error:?}");
    }
}

#[test]
fn service_role_and_roles_for_maintenance_may_call_them_and_the_api_s_other_roles_may_not() {
    let db = seeded("");
    for role in ["anon", "authenticated"] {
        let mut api = db.api(role, Some("00000000-0000-4000-8000-000000000001"));
        for call in [
            "call sessctl.run_end_inactive(60)",
            "call sessctl.run_cleanup(90)",
            "call sessctl.run_to_end('cleanup', 90, false, '1 minute')",
            "select public.end_inactive_sessions(60)",
        ] {
            let error = api.batch_execute(call).expect_err(call);
            assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{role}: {call}");
        }
    }
    let role = format!("maintenance_{}", db.name);
    let mut admin = db.admin();
    admin
        .batch_execute(&format!(
            "create role {role} bypassrls; select sessctl.grant_maintenance('{role}'); grant {role} to postgres"
        ))
        .unwrap();
    let mut client = db.client();
    client.batch_execute(&format!("set role {role}")).unwrap();
    client
        .batch_execute("call sessctl.run_end_inactive(60, max_runtime => '0')")
        .unwrap();
    client.batch_execute("call sessctl.run_end_inactive(60)").unwrap();
    db.api("service_role", None)
        .batch_execute("call sessctl.run_cleanup(90)")
        .unwrap();
    assert_eq!((number(&mut admin, ACTIVE), number(&mut admin, OLD)), (0, 0));
    drop(client);
    admin
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .unwrap();
}

/// A procedure that commits has no search_path of its own: nothing that the caller's finds may be called.
#[test]
fn a_search_path_of_the_caller_puts_nothing_under_a_procedure() {
    let mut sql = String::from(
        "create schema trap;
         create function trap.spring() returns boolean language plpgsql as
           $$ begin raise exception 'the trap was sprung' using errcode = 'TRAP1'; end $$;",
    );
    let types = [
        "integer",
        "bigint",
        "boolean",
        "text",
        "jsonb",
        "interval",
        "timestamptz",
        "uuid",
        "tid",
    ];
    for (number, argument) in types.iter().enumerate() {
        sql += &format!(
            "create function trap.f{number}({argument}, {argument}) returns boolean language sql as 'select trap.spring()';"
        );
        for operator in ["=", "<>", "<", ">", "<=", ">=", "+", "-", "*", "||"] {
            sql += &format!(
                "create operator trap.{operator} (leftarg = {argument}, rightarg = {argument}, function = trap.f{number});"
            );
        }
    }
    sql += "
      create function trap.get(jsonb, text) returns boolean language sql as 'select trap.spring()';
      create operator trap.-> (leftarg = jsonb, rightarg = text, function = trap.get);
      create operator trap.->> (leftarg = jsonb, rightarg = text, function = trap.get);
      create function trap.now() returns boolean language sql as 'select trap.spring()';
      create function trap.clock_timestamp() returns boolean language sql as 'select trap.spring()';
      create function trap.count() returns boolean language sql as 'select trap.spring()';
      create domain trap.text as pg_catalog.text check (trap.spring());
      create domain trap.jsonb as pg_catalog.jsonb check (trap.spring());
      create domain trap.tid as pg_catalog.tid check (trap.spring());
      create domain trap.uuid as pg_catalog.uuid check (trap.spring());";
    let db = seeded(&sql);
    let mut client = db.client();
    let mut owner = db.client();
    client
        .batch_execute("set search_path = trap, pg_temp, pg_catalog, public")
        .unwrap();
    for sprung in ["select 1 = 1", "select 'a'::text", "select now()"] {
        let error = client.batch_execute(sprung).expect_err(sprung);
        assert_eq!(error.code().unwrap().code(), "TRAP1", "{sprung}");
    }
    for (_, procedure, _, left) in JOBS {
        client.batch_execute(procedure).unwrap();
        assert_eq!(number(&mut owner, left), 0);
    }
}

#[test]
fn a_table_that_is_rewritten_between_two_batches_is_worked_through_to_the_end() {
    for (job, procedure, _, left) in JOBS {
        let db = seeded(&format!(
            "delete from public.user_sessions where session_id like '%5'; {}",
            slow(1)
        ));
        let (mut first, mut second) = (db.client(), db.client());
        let call = thread::spawn(move || first.batch_execute(procedure));
        wait_until("a batch that others see", || {
            number(
                &mut second,
                "select coalesce(sum(rows_done), 0)::bigint from sessctl.run",
            ) > 0
        });
        second.batch_execute("vacuum full public.user_sessions").unwrap();
        call.join().unwrap().unwrap();
        assert_eq!(number(&mut second, left), 0, "{job}");
        assert_eq!(last_run(&mut second, job).0, 2700);
    }
}

#[test]
fn procedures_settle_first_and_sessions_that_can_not_be_settled_stop_nobody() {
    for (job, procedure, function, left) in JOBS {
        let db = seeded(
            "insert into public.user_sessions (user_id, session_id, platform, status)
             select '00000000-0000-4000-8000-000000000001', 'endless' || n, 'web', 'ended' from generate_series(1, 2000) n;
             alter table public.user_sessions add constraint never check (session_id <> 'endless7' or ended_at is null)",
        );
        let mut client = db.client();
        let unsettled = "select count(*) from public.user_sessions where status = 'ended' and ended_at is null";
        let settled = "select coalesce(sum(rows_settled), 0)::bigint from sessctl.run";
        let cause = "constraint never of table user_sessions";
        client.batch_execute("begin; set statement_timeout = '20s'").unwrap();
        assert_eq!(count(&mut client, function), 3000, "{job}");
        assert_eq!(
            (number(&mut client, unsettled), number(&mut client, settled)),
            (1, 1999)
        );
        client.batch_execute("rollback").unwrap();

        fails(&mut client, procedure, cause);
        assert_eq!((number(&mut client, unsettled), number(&mut client, left)), (1, 0));
        assert_eq!(number(&mut client, settled), 1999);
        let (done, failed, _, outcome, message) = last_run(&mut client, job);
        assert_eq!((done, failed, outcome.as_str()), (3000, 1, "failed"));
        assert!(message.ends_with(cause), "{message}");
        // Only the one is left, which fails again and is counted once.
        fails(&mut client, procedure, cause);
        assert_eq!(last_run(&mut client, job).1, 1);
    }
}

#[test]
fn whether_idle_sessions_are_ended_is_noted_by_the_procedure() {
    let db = seeded("");
    let mut client = db.client();
    let noted = "select count(*) from sessctl.job where include_idle";
    for (arguments, expected) in [("60, true", 1), ("60, true", 1), ("60", 0)] {
        client
            .batch_execute(&format!("call sessctl.run_end_inactive({arguments})"))
            .unwrap();
        assert_eq!(number(&mut client, noted), expected);
    }
}
